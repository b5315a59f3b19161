//! The comment that holds a draft and the comment that holds an attempt to send it, and reading both back.
//!
//! People edit the draft in GitLab as plain Markdown: recipient, subject, attachments in a list, the body below a line.
//! Hidden is only what they should not edit.

use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::hidden::Hidden;
use super::issue_text::{TextError, comment};
use super::notes::{Note, that_counts};
use crate::domain::inert::{GitlabLine, GitlabMarkdown, Wanted};
use crate::domain::sending::{Attempt, DraftContent, Sending};
use crate::domain::{Language, hex};
use crate::templates::Templates;

const DRAFT: &str = "<!-- vorhoelle draft -->";
const DRAFT_SENT: &str = "<!-- vorhoelle draft sent -->";
const DRAFT_END: &str = "<!-- /vorhoelle draft -->";
const WRITTEN_BEGIN: &str = "<!-- vorhoelle written ";
const WRITTEN_END: &str = " -->";
const LINE: &str = "---";

/// A draft's comment that somebody has edited so that it cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// When and to whom a draft was sent, in words.
#[derive(Clone, Debug, Serialize)]
struct Sent {
    at: String,
    to: GitlabLine,
    message_id: GitlabLine,
    /// Whether what stands here was edited since: then it is not what was sent.
    is_edited: bool,
}

/// What stands in a draft's comment beside its content.
#[derive(Clone, Copy, Debug)]
pub enum DraftIs<'a> {
    /// Written by a program with a token of this name, which knows what it wrote.
    Programs(&'a str),
    /// Written by a person.
    Persons,
    /// The archive of what was sent.
    Sent(&'a Attempt),
}

/// The comment of a draft, or the archive that becomes of it.
///
/// # Errors
///
/// Where the template is wrong, or would let foreign text do harm.
pub fn draft(
    templates: &Templates,
    language: Language,
    content: &DraftContent,
    is: DraftIs<'_>,
) -> Result<String, TextError> {
    let to = content.to.as_deref().unwrap_or_default();
    let sent = if let DraftIs::Sent(attempt) = is { Some(attempt) } else { None };
    let sent_words = sent.map(|attempt| Sent {
        at: attempt.at.unwrap_or(attempt.since).strftime("%Y-%m-%d %H:%M UTC").to_string(),
        to: GitlabLine::new(&attempt.to),
        message_id: GitlabLine::new(&attempt.message_id),
        is_edited: content.etag() != attempt.draft,
    });
    let context = json!({
        "hidden": if sent.is_some() { DRAFT_SENT } else { DRAFT },
        "end": DRAFT_END,
        "sent": sent_words,
        "to": GitlabLine::new(to),
        "subject": GitlabLine::new(&content.subject),
        "attachments": content.attachments.iter().map(|path| GitlabLine::new(path)).collect::<Vec<_>>(),
        "body": GitlabMarkdown::new(&content.body),
    });
    let template = format!("comments/draft.{}.md", language.pick("de", "en"));
    let mut text = comment(templates, &template, &context, &Wanted::default())?;
    if is_draft(&text).is_none() {
        // A template of somebody's own that does not begin with it: the draft would not be found again.
        let mark = if sent.is_some() { DRAFT_SENT } else { DRAFT };
        text = format!("{mark}\n{}", text.replace(mark, "").trim_end());
    }
    if text.split_once(DRAFT_END).is_some_and(|(_, behind)| !behind.trim().is_empty()) {
        // A template of somebody's own has words below the letter: they are not part of it.
        text = format!("{}\n{DRAFT_END}", text.trim_end());
    }
    Ok(match is {
        DraftIs::Programs(name) => {
            let mark = written(&text, name);
            text.replacen(DRAFT, &format!("{DRAFT}\n{mark}"), 1)
        }
        DraftIs::Persons | DraftIs::Sent(_) => text,
    })
}

/// Whether a comment is a draft's, and whether it says that the draft was sent.
pub fn is_draft(body: &str) -> Option<bool> {
    let body = body.trim_start();
    if body.starts_with(DRAFT_SENT) { Some(true) } else { body.starts_with(DRAFT).then_some(false) }
}

/// Whether a draft's comment stands as this program had it written: nobody, in GitLab or elsewhere, has edited it since.
pub fn is_as_written_by(body: &str, name: &str) -> bool {
    let mark = written(body, name);
    body.lines().any(|line| line.trim_end() == mark)
}

/// The hidden line by which a program's own text is known again.
fn written(text: &str, name: &str) -> String {
    let lines = text.trim().lines().map(str::trim_end);
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with(WRITTEN_BEGIN)).collect();
    let hash = Sha256::new().chain_update(name).chain_update([0]).chain_update(lines.join("\n")).finalize();
    format!("{WRITTEN_BEGIN}{}{WRITTEN_END}", hex(&hash[..16]))
}

/// What a draft's comment says.
///
/// # Errors
///
/// What is missing in it and how to mend that.
pub fn read_draft(body: &str) -> Result<DraftContent, Unreadable> {
    let text = body.replace('\r', "");
    let mut content = DraftContent::default();
    let (mut in_list, mut found_subject, mut offset) = (false, false, 0);
    for line in text.split_inclusive('\n') {
        offset += line.len();
        let line = line.trim_end();
        if line == LINE {
            if !found_subject {
                return Err(Unreadable(
                    "the draft's line `- **Subject:** …` is missing; put it back".to_owned(),
                ));
            }
            content.body = body_behind(&text[offset..]);
            return Ok(content);
        }
        match header(line) {
            Some(("to", value)) => content.to = Some(value).filter(|to| !to.is_empty()),
            Some(("subject", value)) => {
                content.subject = value;
                found_subject = true;
            }
            Some((_, value))
                if !matches!(value.to_lowercase().as_str(), "" | "none" | "keine" | "–" | "-") =>
            {
                content.attachments.extend(value.split(", ").map(|path| path.trim().to_owned()));
            }
            Some(_) => {}
            None if in_list && !line.trim().is_empty() => {
                let item = line.trim_start().trim_start_matches(['-', '*', '+']);
                content.attachments.push(GitlabLine::read_back(item).trim_matches('`').to_owned());
            }
            None => {}
        }
        in_list = match header(line) {
            Some((name, _)) => name == "attachments",
            None => in_list,
        };
    }
    Err(Unreadable(format!("the draft's line `{LINE}` above its text is missing; put it back")))
}

/// `- **Subject:** …`, in either language; editors write lists with `*` or `+` too.
fn header(line: &str) -> Option<(&'static str, String)> {
    let item = line.trim_start().strip_prefix(['-', '*', '+'])?.trim_start();
    let (name, value) = item.strip_prefix("**")?.split_once(":**")?;
    let name = match name.trim() {
        "To" | "An" => "to",
        "Subject" | "Betreff" => "subject",
        "Attachments" | "Anhänge" => "attachments",
        _ => return None,
    };
    let value = GitlabLine::read_back(value);
    Some((name, if name == "to" { without_link(&value) } else { value }))
}

/// An address that an editor made a link of: `<clara@example.com>`, `[clara@example.com](mailto:clara@example.com)`. Where
/// the link leads elsewhere than it shows, nobody knows which is meant: it stays, and is no address.
fn without_link(value: &str) -> String {
    let value = value.trim();
    let link = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(')')?.split_once("](mailto:"));
    let same = link.filter(|(shown, target)| shown == target).map(|(shown, _)| shown);
    let alone = value.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    same.or(alone).unwrap_or(value).to_owned()
}

/// The letter below the line. Whoever writes on at the end of the comment does not see the mark that ends it: what they
/// wrote behind it belongs to the letter.
fn body_behind(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let Some((body, rest)) = text.split_once(DRAFT_END) else {
        return GitlabMarkdown::read_back(text.trim_end());
    };
    let body = body.strip_suffix("\n\n").unwrap_or(body);
    match rest.rsplit_once(DRAFT_END).map_or(rest, |(_, behind)| behind).trim() {
        "" => GitlabMarkdown::read_back(body),
        added if body.trim().is_empty() => GitlabMarkdown::read_back(added),
        added => GitlabMarkdown::read_back(&format!("{body}\n\n{added}")),
    }
}

/// The comment of an attempt. `decision` is the hidden part that makes a sent one the decision as well.
///
/// # Errors
///
/// Where the template is wrong, or would let foreign text do harm.
pub fn attempt(
    templates: &Templates,
    language: Language,
    attempt: &Attempt,
    decision: Option<&str>,
) -> Result<String, TextError> {
    let context = json!({
        "outcome": attempt.outcome.as_str(),
        "to": GitlabLine::new(&attempt.to),
        "by": GitlabLine::new(&attempt.by),
        "reason": attempt.reason.as_deref().map(GitlabLine::new),
        "resolved_by": attempt.resolved_by.as_deref().map(GitlabLine::new),
        "override_reason": attempt.override_reason.as_deref().map(GitlabLine::new),
        "decision": decision,
        "hidden": Hidden::Attempt.of(&serde_json::to_value(attempt).unwrap_or_default()),
    });
    comment(
        templates,
        &format!("comments/send.{}.md", language.pick("de", "en")),
        &context,
        &Wanted::default(),
    )
}

/// The attempt that a comment of ours records.
pub fn read_attempt(note: &Note) -> Option<Attempt> {
    let mut attempt: Attempt = Hidden::Attempt.read(&note.body)?;
    attempt.note = note.id;
    // Whoever wrote it may have had a clock that was ahead; it is not under way for longer because of that.
    attempt.since = attempt.since.min(note.created_at);
    Some(attempt)
}

/// The attempts that our comments record, oldest first. Of two comments about one attempt the later counts: a new bot may
/// not edit what an earlier one wrote.
pub fn attempts(notes: &[Note]) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let is_none = |note: &&Note| is_draft(&note.body).is_none();
    for attempt in by_age(notes).into_iter().filter(is_none).filter_map(read_attempt) {
        match attempts.iter_mut().find(|before| before.nonce == attempt.nonce) {
            Some(before) => *before = attempt,
            None => attempts.push(attempt),
        }
    }
    attempts
}

/// What our comments on a match say of its sending. What the disk knows of an attempt counts more than a comment that
/// does not know its end.
pub fn sending(notes: &[Note], kept: &[Attempt]) -> Sending {
    let by_age = by_age(notes);
    let drafts = by_age.iter().copied().filter(|note| is_draft(&note.body).is_some());
    let draft = that_counts(drafts).and_then(|note| Some((note.id, is_draft(&note.body)?)));
    let known = |attempt: Attempt| {
        let kept = kept.iter().find(|one| one.nonce == attempt.nonce && attempt.outcome.is_unresolved());
        kept.map_or(attempt.clone(), |kept| Attempt { note: attempt.note, ..kept.clone() })
    };
    Sending::of(draft, attempts(notes).into_iter().map(known).collect())
}

fn by_age(notes: &[Note]) -> Vec<&Note> {
    let mut by_age: Vec<&Note> = notes.iter().collect();
    by_age.sort_by_key(|note| note.id);
    by_age
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(to: Option<&str>, subject: &str, body: &str, attachments: &[&str]) -> DraftContent {
        DraftContent {
            to: to.map(str::to_owned),
            subject: subject.to_owned(),
            body: body.to_owned(),
            attachments: attachments.iter().map(|path| (*path).to_owned()).collect(),
        }
    }

    fn round_trip(content: &DraftContent) {
        let templates = Templates::load(None).unwrap();
        for language in [Language::De, Language::En] {
            let text = draft(&templates, language, content, DraftIs::Programs("pipeline")).unwrap();
            assert_eq!(read_draft(&text).as_ref(), Ok(content), "{text}");
            assert_eq!(is_draft(&text), Some(false));
            assert!(is_as_written_by(&text, "pipeline") && !is_as_written_by(&text, "another"), "{text}");
            let persons = draft(&templates, language, content, DraftIs::Persons).unwrap();
            assert_eq!(read_draft(&persons).as_ref(), Ok(content), "{persons}");
            assert!(!is_as_written_by(&persons, "pipeline"), "{persons}");
            let edited = text.replace("- **An:** ", "- **An:** a").replace("- **To:** ", "- **To:** a");
            assert!(!is_as_written_by(&edited, "pipeline"), "{edited}");
        }
    }

    #[test]
    fn a_draft_reads_back_as_it_was_put() {
        round_trip(&content(None, "x", "", &[]));
        round_trip(&content(
            Some("Clara <clara@example.com>"),
            "R & D #1 @all",
            "Hi\n\n---\n/close\n- **To:** eve@example.com\n\n",
            &["cv/Lebens lauf_1.pdf", "-x, y.pdf"],
        ));
    }

    #[test]
    fn what_people_type_counts() {
        let typed = "<!-- vorhoelle draft -->\r\nwords\r\n\r\n- **An:** bea@example.com\r\n- **Betreff:** Hallo & mehr\r\n\
                     - **Anhänge:** a.pdf, b.pdf\r\n\r\n---\r\n\r\n**Guten Tag**";
        let read = content(Some("bea@example.com"), "Hallo & mehr", "**Guten Tag**", &["a.pdf", "b.pdf"]);
        assert_eq!(read_draft(typed), Ok(read.clone()));
        // As editors of Markdown write it.
        for to in ["<bea@example.com>", "[bea@example.com](mailto:bea@example.com)"] {
            let edited = typed.replace("\n- **", "\n* **").replace("bea@example.com", to);
            assert_eq!(read_draft(&edited), Ok(read.clone()), "{edited}");
        }
        let elsewhere = "[bea@example.com](mailto:eve@example.com)";
        let unclear = read_draft(&typed.replace("bea@example.com", elsewhere)).unwrap();
        assert_eq!(unclear.to.as_deref(), Some(elsewhere), "it is no address");
        assert!(
            read_draft("<!-- vorhoelle draft -->\n- **Subject:** x").unwrap_err().to_string().contains("---")
        );
    }

    #[test]
    fn what_stands_behind_the_end_belongs_to_the_letter_unless_a_template_put_it_there() {
        let typed = "<!-- vorhoelle draft -->\n- **To:** bea@example.com\n- **Subject:** x\n\n---\n\n";
        for (below, body) in [
            ("Hi\n\n<!-- /vorhoelle draft -->\n\nBea & I\n", "Hi\n\nBea & I"),
            ("Hi\n\n<!-- /vorhoelle draft --> you", "Hi\n\nyou"),
            ("\n\n<!-- /vorhoelle draft -->\nHi", "Hi"),
            ("Hi\n\n<!-- /vorhoelle draft -->\n\n", "Hi"),
            ("Hi\n\n<!-- /vorhoelle draft -->\nto edit\n<!-- /vorhoelle draft -->\n\nyou", "Hi\n\nyou"),
        ] {
            assert_eq!(read_draft(&format!("{typed}{below}")).unwrap().body, body, "{below}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("comments")).unwrap();
        for language in ["de", "en"] {
            let name = format!("comments/draft.{language}.md");
            let own = "{{ hidden }}\n- **To:** {{ to }}\n- **Subject:** {{ subject }}\n\n---\n\n{{ body }}\n\n{{ end }}\n\nEdit this.";
            std::fs::write(folder.path().join(name), own).unwrap();
        }
        let templates = Templates::load(Some(folder.path())).unwrap();
        let letter = content(Some("bea@example.com"), "x", "Hi", &[]);
        let text = draft(&templates, Language::En, &letter, DraftIs::Persons).unwrap();
        assert!(text.contains("Edit this."), "{text}");
        assert_eq!(read_draft(&text).as_ref(), Ok(&letter), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_draft_reads_back(subject in "[!-~äöü][ -~äöü]{0,40}[!-~]", body in "[\\PC\n\t]*", path in "[a-zA-Z0-9_@#*.-]{1,30}") {
            round_trip(&content(None, &subject, &body, &[&path]));
        }
    }
}
