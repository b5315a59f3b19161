//! Which lines of a text GitLab takes for quick actions.
//!
//! What the actions do stands in `rules::commands`.

use pulldown_cmark::{Event, Options, Parser, Tag};

/// Every name that GitLab knows, aliases included.
const NAMES: &[&str] = &[
    "add_child",
    "add_contacts",
    "add_email",
    "add_parent",
    "ai",
    "approve",
    "assign",
    "assign_reviewer",
    "award",
    "blocked_by",
    "blocks",
    "board_move",
    "checkin_reminder",
    "child_of",
    "clear_health_status",
    "clear_weight",
    "clone",
    "close",
    "cc",
    "confidential",
    "convert_to_ticket",
    "copy_metadata",
    "create_merge_request",
    "done",
    "draft",
    "due",
    "duplicate",
    "ensure_discussion",
    "epic",
    "estimate",
    "estimate_time",
    "health_status",
    "in_due_date",
    "invite_email",
    "issue",
    "iteration",
    "label",
    "labels",
    "link",
    "linked_to",
    "lock",
    "merge",
    "milestone",
    "move",
    "page",
    "parent_epic",
    "promote",
    "promote_to",
    "promote_to_incident",
    "publish",
    "react",
    "ready",
    "reassign",
    "reassign_reviewer",
    "rebase",
    "relabel",
    "relate",
    "remove_child",
    "remove_child_epic",
    "remove_contacts",
    "remove_due_date",
    "remove_email",
    "remove_epic",
    "remove_estimate",
    "remove_estimate_time",
    "remove_iteration",
    "remove_label",
    "remove_milestone",
    "remove_parent",
    "remove_parent_epic",
    "remove_time_estimate",
    "remove_time_spent",
    "remove_zoom",
    "reopen",
    "request_changes",
    "request_review",
    "reset_weight",
    "run_pipeline",
    "set_parent",
    "severity",
    "ship",
    "shrug",
    "spend",
    "spend_time",
    "spent",
    "submit_review",
    "subscribe",
    "tableflip",
    "tag",
    "target_branch",
    "timeline",
    "title",
    "todo",
    "type",
    "unapprove",
    "unassign",
    "unassign_reviewer",
    "unlabel",
    "unlink",
    "unlock",
    "unrelate",
    "unsubscribe",
    "weight",
    "wip",
    "zoom",
];

/// Quick actions that only put something into the text.
const SUBSTITUTIONS: &[(&str, &str)] =
    &[("shrug", "¯\\_(ツ)_/¯"), ("tableflip", "(╯°□°)╯︵ ┻━┻"), ("cc", "CC")];

/// A quick action as it stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuickAction {
    /// Name in lower case, as written otherwise: a look-alike letter stays.
    pub name: String,
    /// What follows the name, blanks at the ends taken off.
    pub arguments: String,
}

impl QuickAction {
    /// Name and arguments in one line.
    pub fn line(&self) -> String {
        if self.arguments.is_empty() {
            self.name.clone()
        } else {
            format!("{} {}", self.name, self.arguments)
        }
    }

    /// Whether it is a command at all; a look-alike is only cut out of the text.
    pub fn is_known(&self) -> bool {
        NAMES.contains(&self.name.as_str())
    }
}

/// Takes the quick actions out of a text: what GitLab stores, and what it executes.
pub fn extract(text: &str) -> (String, Vec<QuickAction>) {
    let text: String = text.chars().filter(|c| *c != '\r').collect();
    if !text.starts_with('/') && !text.contains("\n/") {
        return (text.trim_end().to_owned(), Vec::new());
    }
    let mut actions = Vec::new();
    let mut substituted = Vec::new();
    let mut stored = String::with_capacity(text.len());
    let mut copied = 0;
    for (start, end) in paragraphs(&without_multiline_quotes(&text)) {
        stored.push_str(&text[copied..start]);
        scan(&text[start..end], &mut stored, &mut actions, &mut substituted);
        copied = end;
    }
    stored.push_str(&text[copied..]);
    // Substitutions are made after the commands were taken out, and are told after them.
    actions.extend(substituted);
    (stored.trim_end().to_owned(), actions)
}

/// Blanks out multi-line quotes (`>>>` … `>>>`), byte for byte, so that the rest can be parsed as if they were not
/// there. A closing `>>>` ends the quote even inside a code fence that was opened in it: that is how the rest of
/// such a "fenced" text gets outside.
fn without_multiline_quotes(text: &str) -> String {
    let mut text = text.to_owned();
    let mut searched = 0;
    loop {
        let quote = Parser::new_ext(&text, Options::ENABLE_TABLES)
            .into_offset_iter()
            .scan(0usize, |depth, (event, range)| {
                let top = *depth == 0;
                match &event {
                    Event::Start(_) => *depth += 1,
                    Event::End(_) => *depth -= 1,
                    _ => {}
                }
                let quotes = top && matches!(event, Event::Start(Tag::BlockQuote(_)));
                Some((quotes, range))
            })
            .filter(|(quotes, range)| *quotes && range.end > searched)
            .find_map(|(_, range)| opener_in(&text, range.start.max(searched), range.end));
        let Some((start, end, length)) = quote else {
            return text;
        };
        searched = end;
        let mut at = end;
        let closing = text[end..].split_inclusive('\n').find_map(|line| {
            at += line.len();
            (fence_length(line) >= Some(length) && line.trim().trim_start_matches('>').is_empty())
                .then_some(at)
        });
        if let Some(closing) = closing {
            let blank: String = text[start..closing]
                .chars()
                .flat_map(|c| std::iter::repeat_n(if c == '\n' { '\n' } else { ' ' }, c.len_utf8()))
                .collect();
            text.replace_range(start..closing, &blank);
            searched = closing;
        }
    }
}

/// The first line between `from` and `to` that opens a multi-line quote: its start, its end, its fence's length.
fn opener_in(text: &str, from: usize, to: usize) -> Option<(usize, usize, usize)> {
    let mut start = text[..from].rfind('\n').map_or(0, |at| at + 1);
    for line in text[start..].split_inclusive('\n') {
        if start >= to {
            return None;
        }
        let end = start + line.len();
        if let Some(length) = fence_length(line) {
            let rest = line.trim().trim_start_matches('>').trim_start();
            let alert = ["[!note]", "[!tip]", "[!important]", "[!caution]", "[!warning]"]
                .iter()
                .any(|kind| rest.get(..kind.len()).is_some_and(|word| word.eq_ignore_ascii_case(kind)));
            if rest.is_empty() || alert {
                return Some((start, end, length));
            }
        }
        start = end;
    }
    None
}

/// The number of `>` at the start of a line where there are three or more, at most three blanks before them.
fn fence_length(line: &str) -> Option<usize> {
    let unindented = line.trim_start_matches(' ');
    let length = unindented.len() - unindented.trim_start_matches('>').len();
    (line.len() - unindented.len() <= 3 && length >= 3).then_some(length)
}

/// Byte ranges of the lines of top-level paragraphs.
fn paragraphs(text: &str) -> Vec<(usize, usize)> {
    let mut depth = 0usize;
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 && tag == Tag::Paragraph {
                    let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
                    let end = text[range.end..].find('\n').map_or(text.len(), |at| range.end + at + 1);
                    let end = if text[..range.end].ends_with('\n') { range.end } else { end };
                    found.push((start, end));
                }
                depth += 1;
            }
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Copies a paragraph's lines without the commands in them.
fn scan(
    lines: &str,
    stored: &mut String,
    actions: &mut Vec<QuickAction>,
    substituted: &mut Vec<QuickAction>,
) {
    let mut at = 0;
    while let Some(next) = lines[at..].chars().next() {
        let rest = &lines[at..];
        let line_start = at == 0 || lines.as_bytes()[at - 1] == b'\n';
        if next == '`'
            && let Some(length) = code_span(rest)
        {
            stored.push_str(&rest[..length]);
            at += length;
        } else if line_start
            && next == '<'
            && let Some(length) = html_block(rest)
        {
            stored.push_str(&rest[..length]);
            at += length;
        } else if line_start
            && next == '/'
            && let Some((action, length)) = command(rest)
        {
            match SUBSTITUTIONS.iter().find(|(name, _)| *name == action.name) {
                Some((_, text)) => {
                    stored.push_str(&action.arguments);
                    if !action.arguments.is_empty() {
                        stored.push(' ');
                    }
                    stored.push_str(text);
                    if rest[..length].ends_with('\n') {
                        stored.push('\n');
                    }
                    substituted.push(action);
                }
                None => actions.push(action),
            }
            at += length;
        } else {
            stored.push(next);
            at += next.len_utf8();
        }
    }
}

/// From a backtick to the next one that has something before it.
fn code_span(text: &str) -> Option<usize> {
    let inner = text[1..].chars().next()?;
    let from = 1 + inner.len_utf8();
    text[from..].find('`').map(|at| from + at + 1)
}

/// `<tag>` on a line of its own up to the next line that is a closing tag.
fn html_block(text: &str) -> Option<usize> {
    let open = text.find('>')?;
    if open < 2 || !text[open + 1..].starts_with('\n') {
        return None;
    }
    let from = open + 2;
    let mut searched = from;
    while let Some(close) = text[searched..].find("\n</").map(|at| searched + at) {
        if close > from
            && let Some(end) = text[close + 3..].find('>').map(|at| close + 3 + at + 1)
            && end > close + 4
            && (end == text.len() || text[end..].starts_with('\n'))
        {
            return Some(end);
        }
        searched = close + 1;
    }
    None
}

/// A command at the start of `text`, and how many bytes it takes up, its line break included.
fn command(text: &str) -> Option<(QuickAction, usize)> {
    let line = text[1..].split('\n').next().unwrap_or_default();
    let name = line.split(' ').next().unwrap_or_default();
    let (name, arguments) = if is_name(name) {
        (name, line[name.len()..].trim())
    } else {
        // Blanks other than a space may stand between a bare command and the end of its line.
        let bare = line.trim_end();
        if !is_name(bare) {
            return None;
        }
        (bare, "")
    };
    let mut length = 1 + line.len();
    if let Some(after) = text[length..].strip_prefix('\n') {
        length += 1;
        if arguments.is_empty() {
            // Without arguments the blank lines that follow go, too.
            let blank = after.len() - after.trim_start().len();
            length += after[..blank].rfind('\n').map_or(0, |at| at + 1);
        }
    }
    Some((QuickAction { name: name.to_lowercase(), arguments: arguments.to_owned() }, length))
}

/// Whether GitLab's case-insensitive pattern takes the word for a command's name.
fn is_name(word: &str) -> bool {
    let folded: String = word
        .chars()
        .map(|c| match c {
            // The two letters outside ASCII that fold into it.
            '\u{17F}' => 's',
            '\u{212A}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    NAMES.contains(&folded.as_str())
}
