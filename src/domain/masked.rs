//! Words of other systems without whom they are about: what goes into a log stays there.

/// What stands in the place of an address or a number.
const MASK: &str = "***";
/// Fewer digits in a row are a code or a year, and no telephone number.
const DIGITS: usize = 9;
/// Fewer digits behind a plus are none either.
const DIGITS_WITH_PLUS: usize = 7;

/// A text without mail addresses and telephone numbers.
pub fn masked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        // A word is looked at from its beginning only; before a number that may be a quotation mark.
        let begins = at == 0 || !is_of_address(chars[at - 1]);
        let address = || address_end(&chars, at).filter(|_| begins);
        match number_end(&chars, at).or_else(address) {
            Some(end) => {
                out.push_str(MASK);
                at = end;
            }
            None => {
                let word = match chars[at].is_alphanumeric() {
                    true => chars[at..].iter().take_while(|c| is_of_address(**c)).count(),
                    false => 1,
                };
                out.extend(&chars[at..at + word]);
                at += word;
            }
        }
    }
    out
}

fn is_of_address(c: char) -> bool {
    c.is_alphanumeric() || "._%+-'!#$&*/?^`{|}~".contains(c)
}

/// Where a mail address ends that begins here.
fn address_end(chars: &[char], begin: usize) -> Option<usize> {
    let local = chars[begin..].iter().take_while(|c| is_of_address(**c)).count();
    let sign = begin + local;
    // Quotation marks before a user's name make no address of it.
    let has_local = chars[begin..sign].iter().any(|c| c.is_alphanumeric());
    if !has_local || chars.get(sign) != Some(&'@') {
        return None;
    }
    let domain =
        chars[sign + 1..].iter().take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '-')).count();
    (domain > 0).then_some(sign + 1 + domain)
}

/// Where a telephone number ends that begins here.
fn number_end(chars: &[char], begin: usize) -> Option<usize> {
    let plus = chars[begin] == '+';
    if !plus && !chars[begin].is_ascii_digit() {
        return None;
    }
    let (mut digits, mut end) = (0, begin + usize::from(plus));
    for (at, c) in chars.iter().enumerate().skip(end) {
        match c {
            c if c.is_ascii_digit() => {
                digits += 1;
                end = at + 1;
            }
            // People and services write numbers in groups.
            ' ' | '-' | '(' | ')' | '/' if plus => {}
            _ => break,
        }
    }
    let is_number = digits >= if plus { DIGITS_WITH_PLUS } else { DIGITS };
    is_number.then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_are_masked_and_codes_are_not() {
        for (text, without) in [
            ("550 5.1.1 <anna.b+x@mail.example.com>: no such user", "550 5.1.1 <***>: no such user"),
            ("to=anna@example.com, bert@example.com.", "to=***, ***"),
            ("whatsapp:+43 1 555-0123 is not valid (21211)", "whatsapp:*** is not valid (21211)"),
            ("The number 4315550123 is unknown", "The number *** is unknown"),
            ("'+4315550123' and \"+4315550123\" are wrong", "'***' and \"***\" are wrong"),
            ("The number `4315550123` of 'anna@example.com'", "The number `***` of ***'"),
            ("message SM0123456789012345 of 'match.7'", "message SM0123456789012345 of 'match.7'"),
            (
                "the mail server 127.0.0.1:25100 said 451 at 2026-11-23",
                "the mail server 127.0.0.1:25100 said 451 at 2026-11-23",
            ),
            ("`@anna` is no user, `anna@example.com` neither", "`@anna` is no user, ***` neither"),
            ("grüße + @ 7", "grüße + @ 7"),
            ("", ""),
        ] {
            assert_eq!(masked(text), without);
        }
    }
}
