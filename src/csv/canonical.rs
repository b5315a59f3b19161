//! What GitLab has of a match, as the mirror keeps it ready: the canonical values of every field in one text.
//!
//! The two times are moments in it, since the mirror knows no zone; as soon as they are read they are days.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::field::{Field, Row};
use super::record::Known;
use crate::mirror::{Record, Shown};

/// How matches are shown in spreadsheets. The form counts up when the same match is shown otherwise.
pub const SHOWN: Shown = Shown { form: 1, cells: cells_of };

/// What stands between two values. Texts from GitLab hold no control characters; one that does loses this one.
const SEPARATOR: char = '\u{1f}';

fn cells_of(record: &Record) -> String {
    let Record { iid, state, job, application, .. } = record;
    let mut row = Known { iid: *iid, state: *state, job, application, created: None, decided: None }.row();
    row.set(Field::Created, record.created_at.as_millisecond().to_string());
    row.set(Field::Decided, record.decided_at.map(|at| at.as_millisecond().to_string()).unwrap_or_default());
    packed(&row)
}

/// The values of every field in one text; those that are not known are empty.
pub(super) fn packed(row: &Row) -> String {
    let mut text = String::with_capacity(256);
    for field in Field::ALL {
        if field != Field::Iid {
            text.push(SEPARATOR);
        }
        let value = row.text(field);
        if value.contains(SEPARATOR) {
            text.push_str(&value.replace(SEPARATOR, ""));
        } else {
            text.push_str(value);
        }
    }
    text
}

/// Some of the fields, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields(pub u32);

impl Fields {
    /// Whether a field is one of them.
    pub const fn has(self, field: Field) -> bool {
        self.0 & (1 << field as u32) != 0
    }

    /// Those that are in both.
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<Field> for Fields {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        Self(fields.into_iter().fold(0, |bits, field| bits | 1 << field as u32))
    }
}

/// Times as days, where this machine is.
pub(super) struct Days(TimeZone);

impl Days {
    /// The system's zone, asked for once.
    pub fn of_this_machine() -> Self {
        Self(TimeZone::system())
    }

    /// The zone of this name, or the system's where there is none.
    pub fn of(zone: &str) -> Self {
        Self(TimeZone::get(zone).unwrap_or_else(|_| TimeZone::system()))
    }

    /// The zone's name, where it has one.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or_default()
    }

    /// What GitLab has of a match, as a row.
    pub fn row_of(&self, record: &Record) -> Row {
        Cells::read(&cells_of(record), self).row()
    }

    fn day(&self, at: Timestamp) -> Date {
        self.0.to_datetime(at).date()
    }

    /// A moment as a day; a day is one already.
    fn day_of<'a>(&self, value: &'a str) -> Day<'a> {
        let at = value.parse().ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        at.map_or(Day::Text(Cow::Borrowed(value)), |at| self.day(at).into())
    }
}

/// A day, or whatever stands in its place. Every row has two of them: most are held without memory of their own.
enum Day<'a> {
    Text(Cow<'a, str>),
    Digits([u8; 10]),
}

impl Default for Day<'_> {
    fn default() -> Self {
        Self::Text(Cow::Borrowed(""))
    }
}

impl Day<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Digits(digits) => std::str::from_utf8(digits).unwrap_or_default(),
        }
    }
}

impl From<Date> for Day<'_> {
    fn from(date: Date) -> Self {
        let (Ok(year @ ..=9999), Ok(month), Ok(day)) =
            (u16::try_from(date.year()), u16::try_from(date.month()), u16::try_from(date.day()))
        else {
            return Self::Text(Cow::Owned(date.to_string()));
        };
        let digit = |number: u16, place: u16| b"0123456789"[usize::from(number / place % 10)];
        let [y1, y2, y3, y4] = [1000, 100, 10, 1].map(|place| digit(year, place));
        let [[m1, m2], [d1, d2]] = [month, day].map(|part| [digit(part, 10), digit(part, 1)]);
        Self::Digits([y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2])
    }
}

/// The values of every field, as the mirror keeps them.
#[derive(Default)]
pub(super) struct Cells<'a> {
    values: [&'a str; Field::COUNT],
    created: Day<'a>,
    decided: Day<'a>,
}

impl<'a> Cells<'a> {
    /// Reads them. Fields that an older version did not know are empty.
    pub fn read(text: &'a str, days: &Days) -> Self {
        let mut cells = Self::default();
        let ends = memchr::memchr_iter(SEPARATOR as u8, text.as_bytes()).chain([text.len()]);
        let mut start = 0;
        for (value, end) in cells.values.iter_mut().zip(ends) {
            *value = text.get(start..end).unwrap_or_default();
            start = end + 1;
        }
        cells.created = days.day_of(cells.values[Field::Created as usize]);
        cells.decided = days.day_of(cells.values[Field::Decided as usize]);
        cells
    }

    /// The value of a field.
    pub fn get(&self, field: Field) -> &str {
        match field {
            Field::Created => self.created.as_str(),
            Field::Decided => self.decided.as_str(),
            _ => self.values[field as usize],
        }
    }

    /// All of them, as a row.
    pub fn row(&self) -> Row {
        Field::ALL.into_iter().map(|field| (field, self.get(field).to_owned())).collect()
    }

    /// Some of them, as a row.
    pub fn some(&self, fields: Fields) -> Row {
        let some = Field::ALL.into_iter().filter(|field| fields.has(*field));
        some.map(|field| (field, self.get(field).to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cell;
    use super::super::dialect::{Dialect, Quoting};
    use super::super::field::Kind;
    use super::super::table::Table;
    use super::*;
    use crate::domain::Language;

    fn value(field: Field) -> impl Strategy<Value = String> {
        let values: &[&str] = match field.kind() {
            Kind::Iid => &["1", "12"],
            Kind::State => &["pending", "sent"],
            Kind::Stage => &["", "none", "applied"],
            Kind::Score => &["", "5", "81.5", "1.234"],
            Kind::Share => &["", "50 %", "50", "nach Absprache"],
            Kind::Rate => &["", "95", "1.234", "1234.5", "98.5 EUR / hour", "1.200 €/Tag"],
            Kind::Date | Kind::Moment => &["", "2026-02-07", "2026-07-02"],
            Kind::Rtr => &["", "yes", "no", "2026-02-07"],
            Kind::Url => &["", "https://a.example/?b=1;c", "https://a.example"],
            Kind::Line | Kind::Text => &[
                "x",
                "a",
                " a ",
                "=1",
                "'=1",
                "\"a\"",
                "a;b",
                "a,b",
                "a\nb",
                "a\r\nb",
                "Öl",
                "'t",
                "07.02.2026",
                "2026-02-07",
                "-5",
                "0664",
                "'0664",
                " 0664 ",
            ],
        };
        proptest::sample::select(values).prop_map(str::to_owned)
    }

    fn row() -> impl Strategy<Value = Row> {
        let fields: Vec<_> =
            Field::ALL.into_iter().map(|field| value(field).prop_map(move |v| (field, v))).collect();
        fields.prop_map(|values| values.into_iter().collect())
    }

    fn dialect() -> impl Strategy<Value = Dialect> {
        let quoting = prop_oneof![Just(Quoting::Needed), Just(Quoting::Texts), Just(Quoting::All)];
        (any::<bool>(), quoting).prop_map(|(german, quoting)| {
            let language = if german { Language::De } else { Language::En };
            Dialect { quoting, ..Dialect::of_a_new_file(language) }
        })
    }

    #[test]
    fn a_day_is_told_as_elsewhere() {
        for date in ["2026-02-07", "0001-12-31", "9999-10-10"] {
            let date: Date = date.parse().unwrap();
            assert_eq!(Day::from(date).as_str(), date.to_string());
        }
        let before = Date::constant(-1, 2, 3);
        assert_eq!(Day::from(before).as_str(), before.to_string());
    }

    proptest! {
        #[test]
        fn a_new_cell_is_written_like_one_that_was_edited(row in row(), dialect in dialect()) {
            for (field, value) in row.iter() {
                let mut cell = String::new();
                cell::push(&mut cell, field, value, &dialect, false);
                let edited = cell::written(field, value, &dialect, "");
                prop_assert_eq!(cell, dialect.cell(&edited, false, false));
            }
        }

        #[test]
        fn a_cell_says_what_it_is_read_as(
            file in row(), other in row(), differs in proptest::option::of(0..Field::COUNT), dialect in dialect(),
        ) {
            let mut gitlab = file.clone();
            if let Some(field) = differs.map(|place| Field::ALL[place]) {
                gitlab.set(field, other.text(field));
            }
            let mut table = Table::new(dialect);
            table.append(&file).unwrap();
            let table = Table::read(table.to_bytes()).unwrap();
            let text = packed(&gitlab);
            let cells = Cells::read(&text, &Days::of("UTC"));
            prop_assert_eq!(cells.row(), gitlab.clone());
            let same = table.values(0).is_ok_and(|values| {
                values.is_some_and(|values| values.iter().all(|(field, said)| field.same(said, gitlab.text(field))))
            });
            prop_assert_eq!(table.says(0, &cells), same);
        }
    }
}
