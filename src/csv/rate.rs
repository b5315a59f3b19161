//! A rate of amount, currency and unit of time: `105 € / Stunde` in a German file, `105 € / hour` in canonical form.

use super::styles::NumberStyle;
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

/// The parts of `105 € / hour`, in either language.
fn parts(text: &str, style: NumberStyle) -> Option<(String, &str, Per)> {
    let (amount, unit) = text.trim().rsplit_once(" / ")?;
    let (number, currency) = amount.trim_end().split_once([' ', '\u{a0}'])?;
    let named = |per: &Per| unit == word(*per, Language::De) || unit == word(*per, Language::En);
    let per = Per::ALL.into_iter().find(named)?;
    let number = style.parse(number).filter(|number| !number.starts_with('-'))?;
    let plain = !currency.is_empty() && !currency.contains(|c: char| c.is_numeric() || c.is_whitespace());
    plain.then_some((number, currency, per))
}

/// A cell in canonical form, where it is amount, currency and unit.
pub(super) fn read(cell: &str, style: NumberStyle) -> Option<String> {
    parts(cell, style).map(|(number, currency, per)| format!("{number} {currency} / {}", per.as_str()))
}

/// A canonical value in the style and language of a file, where it is amount, currency and unit.
pub(super) fn written(value: &str, style: NumberStyle, language: Language) -> Option<String> {
    let (number, currency, per) = parts(value, NumberStyle::of(Language::En))?;
    Some(format!("{} {currency} / {}", style.write(&number), word(per, language)))
}

/// A match's rate in canonical form.
pub(super) fn canonical(rate: &Rate, style: NumberStyle) -> String {
    match rate {
        Rate::Amount(Amount { amount: Money(amount), currency, per }) => {
            format!("{amount} {currency} / {}", per.as_str())
        }
        Rate::Text(text) => style.parse(text).or_else(|| read(text, style)).unwrap_or_else(|| text.clone()),
    }
}

/// The rate that a canonical value stands for.
pub(super) fn rate(value: &str) -> Rate {
    let amount = parts(value, NumberStyle::of(Language::En))
        .and_then(|(number, currency, per)| Some((number.parse().ok()?, currency.to_owned(), per)));
    match amount {
        Some((amount, currency, per)) => Rate::Amount(Amount { amount: Money(amount), currency, per }),
        None => Rate::Text(value.to_owned()),
    }
}
