//! Cells that a spreadsheet would run, or take for a number that they are not.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, some also after blanks, and a
//! formula can fetch addresses and start programs. Such a text gets an apostrophe in front; [`unguard`] takes exactly
//! that apostrophe away again. A text that has apostrophes of its own in front of such a sign gets one more, so that
//! both directions are exact. Negative numbers stay numbers; a telephone number that begins with `+` does not, since
//! a spreadsheet would drop its sign, nor do digits that begin with a 0, of which it would drop that.

use std::borrow::Cow;

/// The sign that makes the rest of a cell plain text.
const GUARD: char = '\'';

/// The text as it may stand in a file.
pub fn guard(text: &str) -> Cow<'_, str> {
    if needs_guard(text) { Cow::Owned(format!("{GUARD}{text}")) } else { Cow::Borrowed(text) }
}

/// The text that a cell stands for: what [`guard`] put in front is taken away, anything else is left.
pub fn unguard(cell: &str) -> &str {
    match cell.strip_prefix(GUARD) {
        Some(rest) if needs_guard(rest) => rest,
        _ => cell,
    }
}

/// Whether a spreadsheet may run the text or change it, whatever number of apostrophes stands in front of it: that the
/// answer does not depend on them is what makes [`unguard`] exact.
fn needs_guard(text: &str) -> bool {
    let text = text.trim_start_matches(GUARD);
    loses_its_zero(text) || is_formula(text)
}

/// Whether the text is digits with a 0 in front, as of a telephone or a postcode: taken for a number it has none.
pub(super) fn loses_its_zero(text: &str) -> bool {
    let digits = text.trim_start_matches(is_skipped).trim_end();
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_formula(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    if matches!(first, '\t' | '\r' | '\n') {
        return true;
    }
    let rest = text.trim_start_matches(is_skipped);
    match rest.chars().next() {
        // The wide forms are the ones that East Asian keyboards write; spreadsheets there take them for the signs.
        Some('=' | '+' | '@' | '＝' | '＋' | '－' | '＠') => true,
        Some('-') => !is_number(rest),
        _ => false,
    }
}

/// What spreadsheets pass over at the start of a cell.
fn is_skipped(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}')
}

/// Whether the text is a plain negative number such as `-5`, `-5,5` or `-1.234,56`.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_and_digits_behind_a_0_get_an_apostrophe_and_nothing_else_does() {
        let harmless = [
            "",
            "'",
            "abc",
            "-5",
            "-5,5",
            "-1.234,56",
            "5-3",
            "a=b",
            "' quoted '",
            "1+1",
            "0",
            "0,5",
            "07.02.2026",
            "0664 123",
        ];
        for text in harmless {
            assert_eq!(guard(text), text, "{text:?}");
        }
        let formulas = [
            "=1+1",
            "+43 664 123",
            "+5",
            "-",
            "-5+1",
            "- a",
            "@SUM(A1)",
            "\t=1",
            "\rx",
            "  =1",
            "\u{a0}=1",
            "＝1",
            "'=1",
            "0664123",
            " 01067 ",
            "'00",
        ];
        for text in formulas {
            assert_eq!(guard(text), format!("'{text}"), "{text:?}");
            assert_eq!(unguard(&guard(text)), text);
        }
    }

    #[test]
    fn a_cell_of_somebody_elses_keeps_its_apostrophe() {
        assert_eq!(unguard("'t Hof"), "'t Hof");
        assert_eq!(unguard("'-5"), "'-5");
        assert_eq!(unguard("'0"), "'0");
        assert_eq!(unguard("''=1"), "'=1");
    }
}
