//! Which key a place in a text of settings is about: the YAML reader tells line and column alone.

/// The key that a place in YAML belongs to, with points between its parts; line and column count from 1. Keys of
/// blocks and of `{…}` are followed as people write them; of anything rarer a part may be missing.
pub(super) fn key_at(yaml: &str, line: u64, column: u64) -> String {
    let mut reader = Reader::default();
    for (number, text) in (1..).zip(yaml.lines()) {
        if number > line {
            break;
        }
        let until = if number == line { column.saturating_sub(1) } else { u64::MAX };
        reader.read(text, usize::try_from(until).unwrap_or(usize::MAX));
    }
    reader.key()
}

/// The line, from 1, on which a key stands; none where it does not.
pub(super) fn line_of(yaml: &str, key: &str) -> Option<u64> {
    let mut reader = Reader::default();
    (1..).zip(yaml.lines()).find_map(|(number, text)| {
        // Several may stand on one line.
        let ends = text.chars().enumerate().filter(|(_, c)| *c == ':').map(|(at, _)| at + 1);
        let is_here = ends.into_iter().any(|end| {
            let mut until = reader.clone();
            until.read(text, end);
            until.key() == key
        });
        reader.read(text, usize::MAX);
        is_here.then_some(number)
    })
}

#[derive(Clone, Default)]
struct Reader {
    /// The keys of blocks, each with how far it is indented.
    blocks: Vec<(usize, String)>,
    /// The key in each pair of braces or brackets that is open.
    flows: Vec<Option<String>>,
}

impl Reader {
    /// The key that was read last.
    fn key(&self) -> String {
        let blocks = self.blocks.iter().map(|(_, key)| key.as_str());
        blocks.chain(self.flows.iter().flatten().map(String::as_str)).collect::<Vec<_>>().join(".")
    }

    /// Reads a line up to a column.
    fn read(&mut self, line: &str, until: usize) {
        let text: Vec<char> = line.chars().collect();
        let indent = text.iter().take_while(|c| **c == ' ').count();
        let first = text.get(indent).copied();
        if first.is_none_or(|c| c == '#') {
            return;
        }
        if self.flows.is_empty() {
            // An item of a list may stand as far left as the key that it belongs to.
            let is_item = first == Some('-');
            self.blocks.retain(|(at, _)| *at < indent || (is_item && *at == indent));
        }
        let (mut word, mut quote) = (String::new(), None);
        for (at, c) in text.iter().copied().enumerate().take(until) {
            let ends = text.get(at + 1).is_none_or(|next| next.is_whitespace());
            match (quote, c) {
                (Some(mark), c) if c == mark => quote = None,
                (Some(_), c) => word.push(c),
                (None, '"' | '\'') if word.is_empty() => quote = Some(c),
                (None, '#') if at == 0 || text[at - 1].is_whitespace() => return,
                (None, ':') if ends || matches!(text[at.saturating_sub(1)], '"' | '\'') => {
                    let key = std::mem::take(&mut word);
                    match self.flows.last_mut() {
                        Some(open) => *open = Some(key),
                        None => self.blocks.push((indent, key)),
                    }
                }
                (None, '{' | '[') => self.flows.push(None),
                (None, '}' | ']') => {
                    self.flows.pop();
                    word.clear();
                }
                (None, ',') => {
                    word.clear();
                    if let Some(open) = self.flows.last_mut() {
                        *open = None;
                    }
                }
                (None, c) if c.is_whitespace() => {}
                (None, c) => word.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_in_blocks_and_braces() {
        let yaml = "# a: b\nreviewers:\n- anna\nbatch: {mode: digest, max: x}\nchannels:\n  email:\n    quiet_hours: {from: \"22:00\", to: 1}\n  slack:\n    delay: 5m # why: so\n";
        for (line, column, key) in [
            (3, 3, "reviewers"),
            (4, 28, "batch.max"),
            (4, 23, "batch"),
            (7, 38, "channels.email.quiet_hours.to"),
            (8, 3, "channels"),
            (9, 12, "channels.slack.delay"),
        ] {
            assert_eq!(key_at(yaml, line, column), key, "{line}:{column}");
        }
        for (key, line) in [
            ("reviewers", Some(2)),
            ("batch.max", Some(4)),
            ("channels.email.quiet_hours.to", Some(7)),
            ("channels.slack", Some(8)),
            ("channels.slack.delay", Some(9)),
            ("delay", None),
            ("a", None),
            ("why", None),
        ] {
            assert_eq!(line_of(yaml, key), line, "{key}");
        }
        assert_eq!(key_at("{\"batch\":{\"max\":\"x\"}}", 1, 17), "batch.max");
    }
}
