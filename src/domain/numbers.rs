//! Numbers as people read them in their language.

use super::Language;
use super::job_match::{Amount, Per, Rate, Remote};

/// A rate: `12.500,50 EUR / Monat`.
pub fn rate(rate: &Rate, language: Language) -> String {
    match rate {
        Rate::Text(text) => text.clone(),
        Rate::Amount(Amount { amount, currency, per }) => {
            let unit = match per {
                Per::Hour => language.pick("Stunde", "hour"),
                Per::Day => language.pick("Tag", "day"),
                Per::Month => language.pick("Monat", "month"),
                Per::Year => language.pick("Jahr", "year"),
            };
            format!("{} {currency} / {unit}", money(amount.0, language))
        }
    }
}

/// An amount of money: thousands apart, cents only where there are some.
fn money(amount: f64, language: Language) -> String {
    let cents = format!("{amount:.2}");
    let (whole, cents) = cents.split_once('.').unwrap_or((cents.as_str(), "00"));
    let (thousands, point) = (language.pick(".", ","), language.pick(",", "."));
    let mut text = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push_str(thousands);
        }
        text.push(digit);
    }
    if cents != "00" {
        text.push_str(point);
        text.push_str(cents);
    }
    text
}

/// How much of the work is remote; a bare number is meant in percent.
pub fn remote(remote: &Remote, language: Language) -> String {
    let percent = match remote {
        Remote::Percent(percent) => Some(percent.0),
        Remote::Text(text) => text.trim().replace(',', ".").parse().ok(),
    };
    match percent {
        Some(percent) if (0.0..=100.0).contains(&percent) => {
            format!("{} %", percent.to_string().replace('.', language.pick(",", ".")))
        }
        _ => remote.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job_match::{Money, Percent};

    #[test]
    fn money_is_written_as_the_language_does() {
        let amount =
            |amount| Rate::Amount(Amount { amount: Money(amount), currency: "EUR".into(), per: Per::Month });
        let of = |value, language| rate(&amount(value), language);
        assert_eq!(of(12_500.5, Language::De), "12.500,50 EUR / Monat");
        assert_eq!(of(12_500.5, Language::En), "12,500.50 EUR / month");
        assert_eq!(of(1_250_000.0, Language::De), "1.250.000 EUR / Monat");
        assert_eq!(of(115.0, Language::De), "115 EUR / Monat");
        assert_eq!(rate(&Rate::Text("nach VB".into()), Language::De), "nach VB");
    }

    #[test]
    fn a_bare_number_is_a_share() {
        let text = |text: &str| remote(&Remote::Text(text.into()), Language::De);
        assert_eq!((text("80"), text(" 62,5 ")), ("80 %".to_owned(), "62,5 %".to_owned()));
        assert_eq!((text("80 %"), text("NaN"), text("300")), ("80 %".into(), "NaN".into(), "300".into()));
        assert_eq!(remote(&Remote::Percent(Percent(12.5)), Language::De), "12,5 %");
        assert_eq!(remote(&Remote::Percent(Percent(60.0)), Language::En), "60 %");
    }
}
