//! A rate of amount, currency and unit of time: `105 € / Stunde` in a German file, `105 € / hour` in canonical form.

use std::borrow::Cow;

use super::numbers::NumberStyle;
use crate::domain::Language;
use crate::domain::job_match::{Amount, Money, Per, Rate};

/// The unit of time in words.
const fn word(per: Per, language: Language) -> &'static str {
    match (language, per) {
        (Language::En, _) => per.as_str(),
        (Language::De, Per::Hour) => "Stunde",
        (Language::De, Per::Day) => "Tag",
        (Language::De, Per::Month) => "Monat",
        (Language::De, Per::Year) => "Jahr",
    }
}

/// The unit of time that a word of either language means. Every row with a rate asks, so the compiler is left to tell the
/// words apart by their lengths.
fn unit_of(word: &str) -> Option<Per> {
    match word {
        "hour" | "Stunde" => Some(Per::Hour),
        "day" | "Tag" => Some(Per::Day),
        "month" | "Monat" => Some(Per::Month),
        "year" | "Jahr" => Some(Per::Year),
        _ => None,
    }
}

/// The parts of `105 € / hour`, in either language.
fn parts(text: &str, style: NumberStyle) -> Option<(Cow<'_, str>, &str, Per)> {
    let (amount, unit) = text.trim().rsplit_once(" / ")?;
    let (number, currency) = amount.trim_end().split_once([' ', '\u{a0}'])?;
    let per = unit_of(unit)?;
    let number = style.parse(number).filter(|number| !number.starts_with('-'))?;
    let plain = !currency.is_empty() && !currency.contains(|c: char| c.is_numeric() || c.is_whitespace());
    plain.then_some((number, currency, per))
}

/// A cell in canonical form, where it is amount, currency and unit.
pub(super) fn read(cell: &str, style: NumberStyle) -> Option<String> {
    parts(cell, style).map(|(number, currency, per)| format!("{number} {currency} / {}", per.as_str()))
}

/// Writes a canonical value behind a text in the style and language of a file; says whether it is amount, currency and
/// unit, and so was written.
pub(super) fn push(text: &mut String, value: &str, style: NumberStyle, language: Language) -> bool {
    let Some((number, currency, per)) = parts(value, NumberStyle::of(Language::En)) else { return false };
    style.push(text, &number);
    for piece in [" ", currency, " / ", word(per, language)] {
        text.push_str(piece);
    }
    true
}

/// A match's rate in canonical form.
pub(super) fn canonical(rate: &Rate, style: NumberStyle) -> String {
    match rate {
        Rate::Amount(Amount { amount: Money(amount), currency, per }) => {
            format!("{amount} {currency} / {}", per.as_str())
        }
        Rate::Text(text) => match style.parse(text) {
            Some(number) => number.into_owned(),
            None => read(text, style).unwrap_or_else(|| text.clone()),
        },
    }
}

/// The rate that a canonical value stands for.
pub(super) fn rate(value: &str) -> Rate {
    let amount = parts(value, NumberStyle::of(Language::En))
        .and_then(|(number, currency, per)| Some((number.parse().ok()?, currency.to_owned(), per)));
    match amount {
        Some((amount, currency, per)) => Rate::Amount(Amount { amount: Money(amount), currency, per }),
        None => Rate::Text(number_as_read(value)),
    }
}

/// A number that is read back as another one is written as it is read, in German: `1.234` would be over a thousand.
fn number_as_read(value: &str) -> String {
    let german = NumberStyle::of(Language::De);
    let is_misread = NumberStyle::is_canonical(value) && german.parse(value).is_none_or(|read| read != value);
    if is_misread { german.write(value) } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_known_by_its_word_in_either_language() {
        for per in Per::ALL {
            for language in [Language::De, Language::En] {
                assert_eq!(unit_of(word(per, language)), Some(per));
            }
        }
        assert_eq!(unit_of("week"), None);
    }

    #[test]
    fn what_a_row_says_of_a_rate_is_read_back_so() {
        for (value, text) in [
            ("95.125", Some("95,125")),
            ("1.234", Some("1,234")),
            ("95.5", Some("95.5")),
            ("1234", Some("1234")),
            ("0.125", Some("0.125")),
            ("1.200 €/Tag", Some("1.200 €/Tag")),
            ("95.125 € / hour", None),
        ] {
            let staged = rate(value);
            match (&staged, text) {
                (Rate::Text(staged), text) => assert_eq!(Some(staged.as_str()), text),
                (Rate::Amount(_), text) => assert_eq!(text, None, "{value}"),
            }
            assert_eq!(canonical(&staged, NumberStyle::of(Language::De)), value);
        }
    }
}
