//! How a file writes numbers and yes or no, and how it is told from what stands there.

use std::borrow::Cow;

use crate::domain::Language;

/// Longest number, in digits and signs.
const LONGEST: usize = 40;

/// How a file writes numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberStyle {
    /// What stands before the fraction: `,` or `.`.
    pub decimal: char,
    /// Whether thousands are set apart, by the other of the two.
    pub thousands: bool,
}

impl NumberStyle {
    /// The style of a new file of this language.
    pub const fn of(language: Language) -> Self {
        let decimal = match language {
            Language::De => ',',
            Language::En => '.',
        };
        Self { decimal, thousands: false }
    }

    /// What sets thousands apart.
    const fn separator(self) -> char {
        if self.decimal == ',' { '.' } else { ',' }
    }

    /// Reads a number, and tells it in the one form that all files agree on: `1234.5`, no zeros that say nothing.
    ///
    /// `1.234` is read as this style says, `1.234,5` and `1,234.5` are the same number in any style.
    pub fn parse(self, text: &str) -> Option<Cow<'_, str>> {
        let text = text.trim();
        // Most numbers are told in that form already; only a point that may set thousands apart makes it another one.
        if Self::is_canonical(text) && (self.decimal == '.' || !text.contains('.')) {
            return Some(Cow::Borrowed(text));
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let inside = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','));
        let edges = |c: char| c.is_ascii_digit();
        if !inside || digits.len() > LONGEST || !digits.starts_with(edges) || !digits.ends_with(edges) {
            return None;
        }
        let decimal = self.decimal_of(digits);
        let (whole, fraction) = match decimal {
            Some(decimal) => digits.rsplit_once(decimal)?,
            None => (digits, ""),
        };
        let whole = grouped(whole)?;
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let sign = if text.starts_with('-') && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        Some(Cow::Owned(format!("{sign}{whole}{point}{fraction}")))
    }

    /// Which of the two signs stands before the fraction of these digits, if one does.
    fn decimal_of(self, digits: &str) -> Option<char> {
        let commas = digits.matches(',').count();
        let points = digits.matches('.').count();
        match (commas, points) {
            (0, 0) => None,
            // Only thousands come more than once.
            (2.., 0) | (0, 2..) => None,
            (0, 1) | (1, 0) => {
                let sign = if commas == 1 { ',' } else { '.' };
                let (before, after) = digits.split_once(sign)?;
                let may_be_thousands = after.len() == 3 && (1..=3).contains(&before.len()) && before != "0";
                if sign == self.decimal || !may_be_thousands { Some(sign) } else { None }
            }
            _ if digits.rfind(',') > digits.rfind('.') => Some(','),
            _ => Some('.'),
        }
    }

    /// A number of the agreed form in this style.
    pub fn write(self, canonical: &str) -> String {
        let mut text = String::new();
        self.push(&mut text, canonical);
        text
    }

    /// Writes a number of the agreed form behind a text.
    pub(super) fn push(self, text: &mut String, canonical: &str) {
        let (sign, digits) = match canonical.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", canonical),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        text.push_str(sign);
        if self.thousands {
            for (place, digit) in whole.chars().enumerate() {
                if place > 0 && (whole.len() - place) % 3 == 0 {
                    text.push(self.separator());
                }
                text.push(digit);
            }
        } else {
            text.push_str(whole);
        }
        // Three decimals in a file that never sets thousands apart are still told from thousands by the style.
        if !fraction.is_empty() {
            text.push(self.decimal);
            text.push_str(fraction);
        }
    }

    /// Whether a text is a number of the agreed form as this style writes it: only the sign before the fraction differs.
    pub(super) fn writes(self, canonical: &str, text: &str) -> bool {
        let same = |(one, other): (char, char)| one == other || (one == '.' && other == self.decimal);
        !self.thousands
            && canonical.len() == text.len()
            && Self::is_canonical(canonical)
            && canonical.chars().zip(text.chars()).all(same)
            && (self.decimal == '.' || !text.contains('.'))
    }

    /// Whether the text is a number of the agreed form.
    pub fn is_canonical(text: &str) -> bool {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "1"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.len() <= LONGEST
            && all_digits(whole)
            && all_digits(fraction)
            && (whole == "0" || !whole.starts_with('0'))
            && !fraction.ends_with('0')
            && text != "-0"
    }

    /// What a cell says about the style: the sign before a fraction, and whether thousands are set apart.
    pub fn hint(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('%').trim_end();
        let digits = text.strip_prefix('-').unwrap_or(text);
        Self::of(Language::De).parse(digits)?;
        let (comma, point) = (digits.rfind(','), digits.rfind('.'));
        match (comma, point) {
            (Some(comma), Some(point)) => {
                Some(Self { decimal: if comma > point { ',' } else { '.' }, thousands: true })
            }
            (Some(place), None) | (None, Some(place)) if digits.len() - place != 4 => {
                let decimal = if comma.is_some() { ',' } else { '.' };
                Some(Self { decimal, thousands: false })
            }
            _ => None,
        }
    }
}

/// The digits of a whole number, without what sets its thousands apart; `None` where the groups are no thousands.
fn grouped(whole: &str) -> Option<String> {
    let mut groups = whole.split([',', '.']);
    let first = groups.next()?;
    let mut digits = first.to_owned();
    let mut signs: Vec<char> = whole.matches([',', '.']).filter_map(|sign| sign.chars().next()).collect();
    signs.dedup();
    if signs.len() > 1 {
        return None;
    }
    for group in groups {
        if group.len() != 3 || !(1..=3).contains(&first.len()) {
            return None;
        }
        digits.push_str(group);
    }
    Some(digits)
}

/// Yes or no, and the language in which it was said.
pub fn yes_or_no(text: &str) -> Option<(bool, Language)> {
    match text.trim().to_lowercase().as_str() {
        "ja" | "j" | "wahr" => Some((true, Language::De)),
        "nein" | "falsch" => Some((false, Language::De)),
        "yes" | "y" | "true" => Some((true, Language::En)),
        "no" | "n" | "false" => Some((false, Language::En)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_one_form() {
        let (german, english) = (NumberStyle::of(Language::De), NumberStyle::of(Language::En));
        for (text, as_german, as_english) in [
            ("97", Some("97"), Some("97")),
            ("97,50", Some("97.5"), Some("97.5")),
            ("97.5", Some("97.5"), Some("97.5")),
            ("1.234", Some("1234"), Some("1.234")),
            ("1,234", Some("1.234"), Some("1234")),
            ("1.234,56", Some("1234.56"), Some("1234.56")),
            ("1,234.56", Some("1234.56"), Some("1234.56")),
            ("1.234.567", Some("1234567"), Some("1234567")),
            ("-5", Some("-5"), Some("-5")),
            ("007", Some("7"), Some("7")),
            ("-0,0", Some("0"), Some("0")),
            ("12.34.56", None, None),
            ("1,23,456", None, None),
            ("1.234,567.8", None, None),
            ("", None, None),
            ("95 €", None, None),
            ("5.", None, None),
        ] {
            assert_eq!(german.parse(text).as_deref(), as_german, "{text} in German");
            assert_eq!(english.parse(text).as_deref(), as_english, "{text} in English");
        }
        for (text, is_canonical) in [
            ("0", true),
            ("-5", true),
            ("0.5", true),
            ("10", true),
            ("1234.05", true),
            ("-0", false),
            ("007", false),
            ("1.50", false),
            ("1.", false),
            (".5", false),
            ("", false),
            ("-", false),
            ("1,5", false),
            ("1.2.3", false),
            ("+1", false),
        ] {
            assert_eq!(NumberStyle::is_canonical(text), is_canonical, "{text}");
            assert_eq!(english.parse(text).is_some_and(|number| number == text), is_canonical, "{text}");
        }
        assert_eq!(german.write("1234.5"), "1234,5");
        assert_eq!(NumberStyle { decimal: ',', thousands: true }.write("-1234567.5"), "-1.234.567,5");
    }
}
