//! What a cell says, and how a value is written in the file's own style.
//!
//! Values travel in one canonical form: days as `2026-02-07`, numbers as `1234.5`, shares as `80 %`, `yes` and `no`,
//! states and stages as their words. Texts are not touched, apart from line ends, which are `\n`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::dates::DateStyle;
use super::dialect::{Dialect, Newline, Quoting};
use super::field::{Field, Kind};
use super::formula;
use super::hourly_rate;
use super::numbers::{NumberStyle, yes_or_no};
use super::scan::unquoted;
use crate::domain::State;
use crate::domain::job_match::{LINE_LIMIT, Score, TITLE_LIMIT, WebUrl};
use crate::domain::tracker::{NOTES_LIMIT, Rtr, Stage};

/// A cell that does not say what its column is for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CellError {
    /// The line on which its row begins, from 1.
    pub line: u32,
    /// The header of its column, as it stands in the file.
    pub column: String,
    /// What stands in it.
    pub value: String,
    /// Why that cannot be used, in words.
    pub reason: String,
}

impl fmt::Display for CellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, value, reason } = self;
        write!(f, "line {line}, column `{}`: `{}` {reason}", excerpt(column), excerpt(value))
    }
}

impl std::error::Error for CellError {}

/// The beginning of a foreign text, fit for one line of a terminal.
pub(super) fn excerpt(text: &str) -> Cow<'_, str> {
    if text.len() <= EXCERPT && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    // What turns the direction of writing could make one line look like another.
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = |c: char| if c.is_control() || turns(c) { ' ' } else { c };
    let mut short: String = text.chars().take(EXCERPT).map(plain).collect();
    if text.chars().nth(EXCERPT).is_some() {
        short.push('…');
    }
    Cow::Owned(short)
}

/// How many characters of a foreign text are shown in a line.
const EXCERPT: usize = 60;

/// What a cell says, in canonical form. Blank cells say nothing: an empty text.
///
/// # Errors
///
/// In words, what is wrong with it.
pub(super) fn read<'a>(field: Field, cell: &'a str, dialect: &Dialect) -> Result<Cow<'a, str>, String> {
    let text = formula::unguard(cell);
    if text.contains('\0') {
        return Err("holds a NUL character: the file is damaged or no text".to_owned());
    }
    let word = text.trim();
    if word.is_empty() {
        // A text of blanks alone is still that text; only where there is nothing to read, nothing is read.
        return Ok(if matches!(field.kind(), Kind::Line | Kind::Text) {
            with_lf(text)
        } else {
            Cow::Borrowed("")
        });
    }
    match field.kind() {
        Kind::Iid => iid(word).map(Cow::Owned),
        Kind::State => known::<State>(word).map(Cow::Owned),
        Kind::Stage => known::<Stage>(word).map(Cow::Owned),
        Kind::Score => score(word, dialect.numbers).map(Cow::Owned),
        Kind::Share => Ok(share(text, dialect.numbers)),
        Kind::Rate => match dialect.numbers.parse(word) {
            Some(number) => Ok(Cow::Owned(number.into_owned())),
            None => match hourly_rate::read(word, dialect.numbers) {
                Some(amount) => Ok(Cow::Owned(amount)),
                None => line(text, LINE_LIMIT),
            },
        },
        Kind::Date | Kind::Moment => moment(word).map(Cow::Owned).ok_or_else(|| NO_DAY.to_owned()),
        Kind::Rtr => rtr(word).map(Cow::Owned),
        Kind::Url => match WebUrl::try_from(word.to_owned()) {
            Ok(_) => Ok(Cow::Borrowed(word)),
            Err(error) => Err(error.to_string()),
        },
        Kind::Line if field == Field::Title => line(text, TITLE_LIMIT),
        Kind::Line => line(text, LINE_LIMIT),
        Kind::Text => line(text, NOTES_LIMIT),
    }
}

/// Why something is no day.
const NO_DAY: &str = "is no day; use 07.02.2026 or 2026-02-07";

/// A whole number above 0, perhaps with the `#` of GitLab.
fn iid(word: &str) -> Result<String, String> {
    let digits = word.strip_prefix('#').unwrap_or(word);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u64>() {
        Ok(iid) if iid > 0 && plain => Ok(iid.to_string()),
        _ => Err("is no number of an issue".to_owned()),
    }
}

/// One of a list of words, in any case.
fn known<T: FromStr + fmt::Display>(word: &str) -> Result<String, String>
where
    T::Err: fmt::Display,
{
    match word.to_lowercase().parse::<T>() {
        Ok(value) => Ok(value.to_string()),
        // The cell stands before the reason already.
        Err(error) => {
            let error = error.to_string();
            Err(error.rsplit_once("` ").map_or(error.clone(), |(_, reason)| reason.to_owned()))
        }
    }
}

/// A score, perhaps with a sign of percent.
fn score(word: &str, style: NumberStyle) -> Result<String, String> {
    let number = word.strip_suffix('%').unwrap_or(word).trim_end();
    let number = style.parse(number).ok_or("is no number from 0 to 100")?;
    let percent: f64 = number.parse().map_err(|_| "is no number from 0 to 100")?;
    Score::new(percent).map(|_| number.into_owned()).map_err(|error| error.to_string())
}

/// A share of percent, or words.
pub(super) fn share(text: &str, style: NumberStyle) -> Cow<'_, str> {
    let number = text.trim();
    let number = number.strip_suffix('%').unwrap_or(number).trim_end();
    match style.parse(number) {
        Some(number) if number.parse().is_ok_and(|percent| (0.0..=100.0).contains(&percent)) => {
            Cow::Owned(format!("{number} %"))
        }
        _ => with_lf(text),
    }
}

/// A day.
fn day(word: &str) -> Option<String> {
    DateStyle::parse(word).map(|(date, _)| date.to_string())
}

/// A day, perhaps with a time of day behind it.
fn moment(word: &str) -> Option<String> {
    day(word).or_else(|| {
        let (date, time) = word.split_once(['T', ' '])?;
        let clock = time.starts_with(|c: char| c.is_ascii_digit()) && time.contains(':');
        if clock { day(date) } else { None }
    })
}

/// Yes, no or a day.
fn rtr(word: &str) -> Result<String, String> {
    if let Some((date, _)) = DateStyle::parse(word) {
        return Ok(Rtr::On(date).to_string());
    }
    match yes_or_no(word) {
        Some((true, _)) => Ok(Rtr::Yes.to_string()),
        Some((false, _)) => Ok(Rtr::No.to_string()),
        None => Err("is neither ja nor nein (yes, no) nor a day such as 07.02.2026".to_owned()),
    }
}

/// A text of at most so many characters, with `\n` at the ends of its lines.
fn line(text: &str, limit: usize) -> Result<Cow<'_, str>, String> {
    let text = with_lf(text);
    if text.len() > limit && text.chars().nth(limit).is_some() {
        Err(format!("is longer than {limit} characters"))
    } else {
        Ok(text)
    }
}

/// The text with `\n` at the ends of its lines.
pub(super) fn with_lf(text: &str) -> Cow<'_, str> {
    if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) }
}

/// Whether a cell, as it stands in the file, says the canonical value that GitLab has.
pub(super) fn says(field: Field, raw: &str, value: &str, dialect: &Dialect) -> bool {
    if raw.is_empty() && value.is_empty() {
        return true;
    }
    // Most cells stand there as they would be written.
    if raw.len() < SHORT && is_plain(raw, dialect) {
        let style = dialect.numbers;
        let as_written = match field.kind() {
            Kind::Date | Kind::Moment => {
                dialect.dates.rearranged(value).is_some_and(|day| raw.as_bytes() == day)
            }
            Kind::Score => style.writes(value, raw),
            Kind::Share => match (value.strip_suffix(" %"), raw.strip_suffix(" %")) {
                (Some(value), Some(raw)) => style.writes(value, raw),
                _ => false,
            },
            Kind::Rate | Kind::Rtr => false,
            _ => raw == value,
        };
        if as_written {
            return true;
        }
    }
    read(field, &unquoted(raw), dialect).is_ok_and(|said| field.same(&said, value))
}

/// Shorter than the limit of any text.
const SHORT: usize = TITLE_LIMIT;

/// Whether a text stands in a file as it is: nothing in it needs quotes, and no spreadsheet would run or change it.
fn is_plain(text: &str, dialect: &Dialect) -> bool {
    is_harmless(text) && !holds_special(text.as_bytes(), dialect.delimiter.byte())
}

/// Whether no spreadsheet would run a text or drop its first 0, as far as its first character tells: what one runs begins
/// with a sign or a blank, and so does what may hide one.
fn is_harmless(text: &str) -> bool {
    text.chars().next().is_some_and(char::is_alphanumeric) && !formula::loses_its_zero(text)
}

/// Whether there is a delimiter, a quote or a control character among the bytes. Every cell is asked, so eight are looked
/// at at once.
fn holds_special(bytes: &[u8], delimiter: u8) -> bool {
    const ONES: u64 = u64::MAX / 255;
    // The highest bit of a byte is set where the byte was below `limit`; only above such a one it may be set wrongly.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & (ONES * 0x80);
    let same = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, rest) = bytes.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| {
        let word = u64::from_le_bytes(*word);
        found | below(word, b' ') | same(word, b'"') | same(word, delimiter)
    });
    found != 0 || rest.iter().any(|byte| *byte < b' ' || *byte == b'"' || *byte == delimiter)
}

/// Writes a canonical value as a new cell, in quotes where it needs them.
pub(super) fn push(text: &mut String, field: Field, value: &str, dialect: &Dialect, only: bool) {
    let from = text.len();
    if dialect.quoting == Quoting::Needed && !only {
        // Most cells stand as they are; what was written and may not is written again.
        if value.is_empty()
            || (push_bare(text, field, value, dialect)
                && text.get(from..).is_some_and(|cell| is_plain(cell, dialect)))
        {
            return;
        }
        text.truncate(from);
        if push_quoted(text, field, value, dialect) {
            return;
        }
    }
    text.push_str(&dialect.cell(&written(field, value, dialect, ""), false, only));
}

/// Writes a text in quotes where it needs them and nothing else about it has to change; says whether it did.
fn push_quoted(text: &mut String, field: Field, value: &str, dialect: &Dialect) -> bool {
    let needs_quotes = |byte| matches!(byte, b'"' | b'\n') || byte == dialect.delimiter.byte();
    if !matches!(field.kind(), Kind::Line | Kind::Text)
        || dialect.cell_newline != Newline::Lf
        || !is_harmless(value)
        || value.contains('\r')
        || !value.bytes().any(needs_quotes)
    {
        return false;
    }
    text.push('"');
    for (place, piece) in value.split('"').enumerate() {
        text.push_str(if place > 0 { "\"\"" } else { "" });
        text.push_str(piece);
    }
    text.push('"');
    true
}

/// Writes a canonical value without quotes where that is simple; says whether it is.
fn push_bare(text: &mut String, field: Field, value: &str, dialect: &Dialect) -> bool {
    let style = dialect.numbers;
    let mut push_number = |number: &str, unit: &str| {
        style.push(text, number);
        text.push_str(unit);
        NumberStyle::is_canonical(number)
    };
    match field.kind() {
        Kind::Date | Kind::Moment => {
            let day = dialect.dates.rearranged(value);
            text.push_str(day.as_ref().and_then(|day| std::str::from_utf8(day).ok()).unwrap_or_default());
            day.is_some()
        }
        Kind::Score => push_number(value, ""),
        Kind::Share => value.strip_suffix(" %").is_some_and(|number| push_number(number, " %")),
        Kind::Rate => hourly_rate::push(text, value, style, dialect.headers),
        Kind::Rtr => false,
        _ => {
            text.push_str(value);
            true
        }
    }
}

/// A canonical value as it stands in a cell, before quotes. `old` is what stood there: its own style goes before the
/// file's.
pub(super) fn written(field: Field, value: &str, dialect: &Dialect, old: &str) -> String {
    let value = with_lf(value);
    let text = match field.kind() {
        Kind::Date | Kind::Moment => written_day(&value, dialect, old),
        Kind::Rtr => written_rtr(&value, dialect, old),
        Kind::Score => written_number(&value, dialect, old, ""),
        Kind::Share => match value.strip_suffix(" %") {
            Some(number) => written_number(number, dialect, old, " %"),
            None => value.into_owned(),
        },
        Kind::Rate => {
            let mut amount = String::new();
            if hourly_rate::push(&mut amount, &value, dialect.numbers, dialect.headers) {
                amount
            } else {
                written_number(&value, dialect, old, "")
            }
        }
        _ if dialect.cell_newline == Newline::CrLf || old.contains("\r\n") => value.replace('\n', "\r\n"),
        _ => value.into_owned(),
    };
    let guarded = match formula::guard(&text) {
        Cow::Owned(guarded) => Some(guarded),
        Cow::Borrowed(_) => None,
    };
    guarded.unwrap_or(text)
}

fn written_day(value: &str, dialect: &Dialect, old: &str) -> String {
    let style = DateStyle::parse(formula::unguard(old)).map_or(dialect.dates, |(_, style)| style);
    match DateStyle::parse(value) {
        Some((date, _)) => style.write(date),
        None => value.to_owned(),
    }
}

fn written_rtr(value: &str, dialect: &Dialect, old: &str) -> String {
    let language = yes_or_no(old).map_or(dialect.words, |(_, language)| language);
    match value {
        "yes" => language.pick("ja", "yes").to_owned(),
        "no" => language.pick("nein", "no").to_owned(),
        day => written_day(day, dialect, old),
    }
}

/// A number with the unit behind it; anything that is no number is left as it is.
fn written_number(value: &str, dialect: &Dialect, old: &str, unit: &str) -> String {
    if !NumberStyle::is_canonical(value) {
        return format!("{value}{unit}");
    }
    let unit = match old.trim_end().strip_suffix('%') {
        Some(number) if number.ends_with([' ', '\u{a0}']) => " %",
        Some(_) => "%",
        None => unit,
    };
    format!("{}{unit}", dialect.numbers.write(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Language;

    proptest! {
        #[test]
        fn what_is_special_is_found_wherever_it_stands(
            text in "[ -~öß\\x00-\\x1f;\"]{0,30}",
            delimiter in proptest::sample::select(b";,\t".as_slice()),
        ) {
            let naive = text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == delimiter);
            prop_assert_eq!(holds_special(text.as_bytes(), delimiter), naive);
        }
    }

    fn german(field: Field, cell: &str) -> Result<String, String> {
        read(field, cell, &Dialect::of_a_new_file(Language::De)).map(Cow::into_owned)
    }

    #[test]
    fn cells_are_told_in_one_form() {
        for (field, cell, value) in [
            (Field::Iid, " #12 ", "12"),
            (Field::State, "Approved", "approved"),
            (Field::Stage, "INTERVIEW", "interview"),
            (Field::Score, "97,5 %", "97.5"),
            (Field::Remote, "80%", "80 %"),
            (Field::Remote, "nach Absprache", "nach Absprache"),
            (Field::Rate, "1.234,50", "1234.5"),
            (Field::Rate, "95 €/h", "95 €/h"),
            (Field::Rate, "1.050,50 EUR / Tag", "1050.5 EUR / day"),
            (Field::AppliedOn, "7.2.2026", "2026-02-07"),
            (Field::InterviewOn, "07.02.2026 14:00", "2026-02-07"),
            (Field::Created, "07.02.2026 10:30", "2026-02-07"),
            (Field::Created, "2026-02-07T10:30:00Z", "2026-02-07"),
            (Field::Rtr, "Ja", "yes"),
            (Field::Rtr, "07.02.2026", "2026-02-07"),
            (Field::ContactPhone, "'+43 664 123", "+43 664 123"),
            (Field::Notes, "a\r\nb", "a\nb"),
            (Field::AppliedOn, "  ", ""),
        ] {
            assert_eq!(german(field, cell).as_deref(), Ok(value), "{field}: {cell}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let long = "x".repeat(TITLE_LIMIT + 1);
        let words: Vec<String> = [
            (Field::Iid, "zwölf"),
            (Field::Iid, "0"),
            (Field::State, "offen"),
            (Field::Stage, "hired"),
            (Field::Score, "0,97"),
            (Field::Score, "viel"),
            (Field::AppliedOn, "30.02.2026"),
            (Field::AppliedOn, "07.02.2026 bald"),
            (Field::Rtr, "vielleicht"),
            (Field::Url, "javascript:alert(1)"),
            (Field::Title, &long),
            (Field::Notes, "a\0b"),
        ]
        .into_iter()
        .map(|(field, cell)| {
            let reason = german(field, cell).unwrap_err();
            CellError { line: 7, column: field.to_string(), value: cell.to_owned(), reason }.to_string()
        })
        .collect();
        insta::assert_snapshot!(words.join("\n"));
    }

    #[test]
    fn notes_may_be_as_long_as_the_tracker_takes_them() {
        let notes = "x".repeat(NOTES_LIMIT);
        assert_eq!(german(Field::Notes, &notes).as_ref(), Ok(&notes));
        assert!(german(Field::Notes, &format!("{notes}x")).is_err());
        // As GitLab has them: the end of a line is one character.
        let lines = "x\r\n".repeat(NOTES_LIMIT / 2);
        assert_eq!(german(Field::Notes, &lines), Ok(lines.replace('\r', "")));
    }

    #[test]
    fn a_value_is_written_as_the_cell_was_written_before() {
        let dialect = Dialect::of_a_new_file(Language::De);
        for (field, value, old, cell) in [
            (Field::AppliedOn, "2026-02-07", "", "07.02.2026"),
            (Field::AppliedOn, "2026-02-07", "2025-12-01", "2026-02-07"),
            (Field::AppliedOn, "2026-02-07", "01.12.25", "07.02.26"),
            (Field::Score, "97.5", "", "97,5"),
            (Field::Score, "97.5", "80%", "97,5%"),
            (Field::Remote, "50 %", "", "50 %"),
            (Field::Rate, "-5", "", "-5"),
            (Field::Rate, "95 €/h", "80", "95 €/h"),
            (Field::Rtr, "yes", "", "ja"),
            (Field::Rtr, "no", "yes", "no"),
            (Field::ContactPhone, "+43 1", "", "'+43 1"),
            (Field::Notes, "a\nb", "x\r\ny", "a\r\nb"),
        ] {
            assert_eq!(written(field, value, &dialect, old), cell, "{field}: {value} over {old}");
        }
    }
}
