//! Text in chat messages: Slack's mrkdwn, WhatsApp's formatting.
//!
//! A chat program looks for its marks in whatever it is given, and neither Slack nor WhatsApp knows a backslash. So three
//! things are done. Marks that could begin or end bold, italics, struck-out text or code become letters that look like
//! them. An invisible word joiner behind `:` `.` `@` `#` breaks addresses, mentions, channel names and `:emoji:`. Slack's
//! three special characters become entities in mrkdwn, as Slack asks for; that also stops `<!channel>`, `<@U…>`, `<url>`
//! and `<!date^…>`.
//!
//! Each form is one line and no longer than it is allowed to be. Lengths are counted in UTF-16 units: neither Slack nor
//! Twilio says how it counts, and no other way of counting characters gives more.

use serde::Serialize;
use unicode_normalization::char::is_combining_mark;

/// Breaks a word for a chat program's filters and shows as nothing.
const JOINER: char = '\u{2060}';
/// Stands at the end of what was cut.
const ELLIPSIS: char = '…';
/// How far a cut moves back so as not to tear a character that consists of several, such as an emoji.
const LONGEST_CLUSTER: usize = 16;

/// A line in Slack's mrkdwn, also inside the text of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SlackMarkup(String);

/// A line in a WhatsApp message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct WhatsAppLine(String);

macro_rules! line {
    ($name:ident) => {
        impl $name {
            /// Makes a text one harmless line of at most `limit` UTF-16 units; what is cut ends in `…`.
            pub fn new(text: &str, limit: usize) -> Self {
                Self(inert(text, limit, Form::$name))
            }

            /// Whether nothing is left of it.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// The line.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

line!(SlackMarkup);
line!(WhatsAppLine);

/// The length by which the limits here are meant.
pub fn chat_length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    SlackMarkup,
    WhatsAppLine,
}

/// A character of the text and what stands for it.
struct Piece {
    original: char,
    written: String,
}

fn inert(text: &str, limit: usize, form: Form) -> String {
    let text = one_line(text, limit + LONGEST_CLUSTER);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut length = 0;
    for (index, c) in text.iter().enumerate() {
        let piece = Piece { original: *c, written: written(&text, index, form) };
        length += chat_length(&piece.written);
        pieces.push(piece);
        if length > limit {
            shorten(&mut pieces, length, limit);
            break;
        }
    }
    pieces.into_iter().map(|piece| piece.written).collect()
}

/// As many characters of a text as can matter: controls and runs of blanks are one blank, what turns the reading direction
/// of the words around it is gone.
fn one_line(text: &str, limit: usize) -> Vec<char> {
    let mut line = Vec::new();
    let mut blank = false;
    for c in text.chars() {
        if c.is_control() || c.is_whitespace() {
            blank = !line.is_empty();
        } else if !turns_direction(c) {
            if std::mem::take(&mut blank) {
                line.push(' ');
            }
            line.push(c);
        }
        if line.len() > limit {
            break;
        }
    }
    line
}

const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Takes pieces off the end until an ellipsis fits behind them, not in the middle of a character of several parts.
fn shorten(pieces: &mut Vec<Piece>, length: usize, limit: usize) {
    let mut length = length;
    let mut moved_back = 0;
    while let Some(last) = pieces.pop() {
        length -= chat_length(&last.written);
        let tears = joins_what_is_before(last.original)
            || pieces.last().is_some_and(|before| before.original == '\u{200D}');
        let fits = length + ELLIPSIS.len_utf16() <= limit;
        moved_back += usize::from(fits);
        if fits && (!tears || moved_back > LONGEST_CLUSTER) {
            break;
        }
    }
    while pieces.last().is_some_and(|last| last.original == ' ') {
        pieces.pop();
    }
    // It stood inside of a word and stands at the end of one now.
    if let Some(last) = pieces.last_mut().filter(|last| matches!(last.original, '*' | '_' | '~')) {
        last.written = look_alike(last.original).to_string();
    }
    if limit > 0 {
        pieces.push(Piece { original: ELLIPSIS, written: ELLIPSIS.to_string() });
    }
}

fn joins_what_is_before(c: char) -> bool {
    is_combining_mark(c) || matches!(c, '\u{200D}' | '\u{FE00}'..='\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}')
}

/// What stands for the character at `index`.
fn written(text: &[char], index: usize, form: Form) -> String {
    let c = text[index];
    let before = index.checked_sub(1).map(|index| text[index]);
    let next = text.get(index + 1).copied();
    let mut written = String::new();
    // At the start of a line these make a list or a quotation; Slack's quotation begins with the entity.
    if before.is_none() && begins_block(text) {
        written.push(JOINER);
    }
    match (form, c) {
        (Form::SlackMarkup, '&') => written.push_str("&amp;"),
        (Form::SlackMarkup, '<') => written.push_str("&lt;"),
        (Form::SlackMarkup, '>') => written.push_str("&gt;"),
        // It divides the address of a link from its text.
        (Form::SlackMarkup, '|') => written.push('∣'),
        (Form::SlackMarkup | Form::WhatsAppLine, '*' | '_' | '~' | '`') => {
            written.push(if is_inside_a_word(before, next) && c != '`' { c } else { look_alike(c) });
        }
        _ => written.push(c),
    }
    let something_follows = next.is_some_and(|next| next != ' ');
    if something_follows && breaks_words(c) {
        written.push(JOINER);
    }
    written
}

/// A quotation, an entry of a list or, `1.`, of a numbered one.
fn begins_block(line: &[char]) -> bool {
    let behind_digits = line.iter().find(|c| !c.is_ascii_digit());
    match line.first() {
        Some('>' | '-' | '+' | '•') => true,
        Some(first) => first.is_ascii_digit() && matches!(behind_digits, Some('.' | ')')),
        None => false,
    }
}

/// `snake_case`: no mark there opens or closes anything.
fn is_inside_a_word(before: Option<char>, next: Option<char>) -> bool {
    [before, next].iter().all(|neighbour| neighbour.is_some_and(|c| c.is_ascii_alphanumeric()))
}

const fn look_alike(mark: char) -> char {
    match mark {
        '*' => '∗',
        '_' => 'ˍ',
        '~' => '∼',
        _ => 'ˋ',
    }
}

/// Behind these a word goes on that could become an address, a mention, a channel or an emoji. The joiner stands behind
/// the dot, not before it: a last part of a host that begins with one is no top-level domain. The foreign dots are those
/// that count in a host's name.
const fn breaks_words(c: char) -> bool {
    matches!(c, ':' | '.' | '@' | '#' | '\u{3002}' | '\u{FF0E}' | '\u{FF61}' | '\u{FF1A}' | '\u{FF20}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slack(text: &str) -> String {
        SlackMarkup::new(text, 1_000).0
    }

    fn whatsapp(text: &str) -> String {
        WhatsAppLine::new(text, 1_000).0
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        for text in [
            "Cloud Architect (m/w/d) – Wien, 80 % remote",
            "snake_case 2*3*4",
            "C# oder C++ / 5 €",
            "a~b",
            "80 % oder 5",
        ] {
            assert_eq!(slack(text), text);
            assert_eq!(whatsapp(text), text);
        }
    }

    #[test]
    fn nothing_becomes_a_mention_a_link_a_format_or_an_emoji() {
        assert_eq!(slack("<!channel> & <@U1|x>"), "&lt;!channel&gt; &amp; &lt;@\u{2060}U1∣x&gt;");
        assert_eq!(slack("*b* _i_ ~s~ `c` :tada:"), "∗b∗ ˍiˍ ∼s∼ ˋcˋ :\u{2060}tada:");
        assert_eq!(slack("> quoted"), "\u{2060}&gt; quoted");
        assert_eq!(whatsapp("> quoted"), "\u{2060}> quoted");
        assert_eq!(whatsapp("1. list"), "\u{2060}1. list");
        assert_eq!(whatsapp("https://evil.example"), "https:\u{2060}//evil.\u{2060}example");
        assert_eq!(whatsapp("a@b.at wa.me/1"), "a@\u{2060}b.\u{2060}at wa.\u{2060}me/1");
        assert_eq!(whatsapp("```x``` *b*"), "ˋˋˋxˋˋˋ ∗b∗");
    }

    #[test]
    fn it_is_one_line_in_its_own_direction() {
        assert_eq!(slack("  a\r\n\tb\u{2028}c\0 "), "a b c");
        assert_eq!(whatsapp("a\u{202E}b\u{2066}c      d"), "abc d");
        assert_eq!(slack("\u{0}\n "), "");
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        assert_eq!(WhatsAppLine::new("abcdef", 6).0, "abcdef");
        assert_eq!(WhatsAppLine::new("abcdefg", 6).0, "abcde…");
        assert_eq!(WhatsAppLine::new("abcd efg", 6).0, "abcd…");
        assert_eq!(SlackMarkup::new("ab&&&", 8).0, "ab&amp;…");
        // A family of three, joined: all of it or nothing.
        assert_eq!(WhatsAppLine::new("ab👨\u{200D}👩\u{200D}👧 and more", 8).0, "ab…");
        assert_eq!(WhatsAppLine::new("e\u{301}e\u{301}e\u{301}", 4).0, "e\u{301}…");
        assert_eq!(WhatsAppLine::new("abc", 0).0, "");
        assert_eq!(WhatsAppLine::new("snake_case", 7).0, "snakeˍ…");
    }

    proptest! {
        #[test]
        fn any_text_fits_and_has_no_mark_left(text in any::<String>(), limit in 1_usize..80) {
            for line in [slack_limited(&text, limit), WhatsAppLine::new(&text, limit).0] {
                prop_assert!(chat_length(&line) <= limit, "{line}");
                prop_assert!(!line.chars().any(|c| c.is_control() || c == '`'), "{line:?}");
            }
        }

        #[test]
        fn marks_never_stand_at_the_edge_of_a_word(text in "[*_~`<>&|:./@#a !\u{2060}]{0,30}") {
            let line = slack(&text);
            let chars: Vec<char> = line.chars().collect();
            for (index, c) in chars.iter().enumerate().filter(|(_, c)| "*_~".contains(**c)) {
                let inside = chars[index - 1].is_ascii_alphanumeric() && chars[index + 1].is_ascii_alphanumeric();
                prop_assert!(inside, "{c} in {line}");
            }
            prop_assert!(!line.contains(['<', '>', '|']), "{line}");
            prop_assert!(!line.contains("://") && !line.contains(":a"), "{line}");
        }
    }

    fn slack_limited(text: &str, limit: usize) -> String {
        SlackMarkup::new(text, limit).0
    }
}
