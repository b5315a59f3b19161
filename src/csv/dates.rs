//! How a file writes days, and how it is told from what stands there.

use jiff::civil::Date;

/// How a file writes a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateStyle {
    /// `2026-02-07`.
    Iso,
    /// `07.02.2026`.
    German,
    /// `07.02.26`, as a German LibreOffice writes what it shows.
    GermanShort,
}

impl DateStyle {
    /// Reads a day in any style and tells the style. `7.2.2026` is German too.
    pub fn parse(text: &str) -> Option<(Date, Self)> {
        let text = text.trim();
        if let Some([year, month, day]) = parts(text, '-') {
            let whole = year.len() == 4 && month.len() == 2 && day.len() == 2;
            return if whole { Some((date(year, month, day)?, Self::Iso)) } else { None };
        }
        let [day, month, year] = parts(text, '.')?;
        let short = |part: &str| (1..=2).contains(&part.len());
        match year.len() {
            4 if short(day) && short(month) => Some((date(year, month, day)?, Self::German)),
            2 if short(day) && short(month) => {
                let year = 2000 + i16::from(year.parse::<u8>().ok()?);
                Some((Date::new(year, month.parse().ok()?, day.parse().ok()?).ok()?, Self::GermanShort))
            }
            _ => None,
        }
    }

    /// The day that a canonical text tells, in this style, where no more than moving its digits is needed.
    pub(super) fn rearranged(self, canonical: &str) -> Option<[u8; 10]> {
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *canonical.as_bytes() else { return None };
        match self {
            _ if ![y1, y2, y3, y4, m1, m2, d1, d2].iter().all(u8::is_ascii_digit) => None,
            Self::Iso => Some([y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]),
            Self::German => Some([d1, d2, b'.', m1, m2, b'.', y1, y2, y3, y4]),
            Self::GermanShort => None,
        }
    }

    /// A day in this style. A year that two digits cannot tell is written with four.
    pub fn write(self, date: Date) -> String {
        match self {
            Self::Iso => date.to_string(),
            Self::GermanShort if (2000..2100).contains(&date.year()) => {
                format!("{:02}.{:02}.{:02}", date.day(), date.month(), date.year() - 2000)
            }
            Self::German | Self::GermanShort => {
                format!("{:02}.{:02}.{:04}", date.day(), date.month(), date.year())
            }
        }
    }
}

/// The three parts between two signs, where all of them are digits; blanks around a part are passed over. `None` where
/// there is anything else in the text than digits, blanks, `-` and `.`, or another number of parts.
fn parts(text: &str, sign: char) -> Option<[&str; 3]> {
    if text.len() > 20
        || !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'.'))
    {
        return None;
    }
    let mut parts = text.split(sign).map(str::trim);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

/// A day from its digits.
fn date(year: &str, month: &str, day: &str) -> Option<Date> {
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_in_either_style_and_written_back_in_it() {
        for (text, day, style) in [
            ("2026-02-07", "2026-02-07", DateStyle::Iso),
            ("07.02.2026", "2026-02-07", DateStyle::German),
            ("7.2.2026", "2026-02-07", DateStyle::German),
            ("07. 02. 2026", "2026-02-07", DateStyle::German),
            ("07.02.26", "2026-02-07", DateStyle::GermanShort),
        ] {
            let (date, found) = DateStyle::parse(text).unwrap();
            assert_eq!((date.to_string().as_str(), found), (day, style), "{text}");
            assert_eq!(DateStyle::parse(&style.write(date)), Some((date, style)));
        }
        for text in [
            "",
            "30.02.2026",
            "2026-2-7",
            "02/07/2026",
            "7.2",
            "heute",
            "2026-02-07T10:00",
            "1.2.3.4",
            "07.02.026",
        ] {
            assert_eq!(DateStyle::parse(text), None, "{text}");
        }
        assert_eq!(DateStyle::GermanShort.write(Date::constant(1999, 1, 2)), "02.01.1999");
    }
}
