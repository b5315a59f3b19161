//! What is wrong with something that was typed, told apart so that a page can say it in its reader's language.
//!
//! The rest of the service says it in English, for logs and for the API. Here that is told apart by its wording, in this
//! one place; what is not known stays as it is, marked as English.

use serde::Serialize;

/// What is wrong with something that was typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Complaint {
    /// Picks the words; `other` where only the message knows.
    kind: &'static str,
    /// What was typed, or what is allowed.
    value: String,
    /// As the service says it.
    message: String,
}

/// The wordings, with what stands before and behind the part that differs; the first that fits counts.
const WORDINGS: [(&str, &str, &str); 39] = [
    ("score", "must be a number from 0 to 100", ""),
    ("fraction", "scale is 0–100", ""),
    ("number", "must be a number", ""),
    ("second", "must be a second at least", ""),
    ("username", "`", "` is no GitLab username"),
    ("time", "`", "` is no time of day"),
    ("zone", "`", "` is no time zone"),
    ("date", "`", "` is no day such as"),
    ("right", "`", "` is no right to represent"),
    ("day", "`", "` is no day"),
    ("duration", "`", "` is no duration"),
    ("nobody", "is true and reviewers names nobody", ""),
    ("range", "must be from 1 to ", ""),
    ("digest", "a digest needs times", ""),
    ("times", "must name a time of day at least", ""),
    ("half", "is missing; write a time of day", ""),
    ("no_block", "has no block that begins with", ""),
    ("large_block", "holds a block of more than ", " KiB"),
    ("stranger", "was changed by somebody who is no reviewer", ""),
    ("slash", "holds a line that begins with a slash", ""),
    ("address", "must be one e-mail address such as clara@example.com, not ", ""),
    ("no_recipient", "is missing: neither the draft nor", ""),
    ("length", "is required: text of 1–", " characters"),
    ("length", "is required: Markdown of 1–", " characters"),
    ("too_long", "at most ", " characters are allowed"),
    ("too_many", "at most ", " are allowed"),
    ("path", "must be a path in the repository", ""),
    ("no_file", "there is no file ", " on the default branch"),
    ("too_large", "together they have more than ", " MiB"),
    ("draft_line", "the draft's line `", "` is missing"),
    ("draft_line", "the draft's line `", "` above its text is missing"),
    ("archive", "the application was sent; its draft is the archive", ""),
    ("uncertain", "it is uncertain whether the draft was sent", ""),
    ("being_sent", "the draft is being sent right now", ""),
    ("no_draft", "match ", " has no draft yet"),
    ("sent_already", "another attempt has just sent it", ""),
    ("another_first", "another attempt to send it", ""),
    ("edited", "the draft was edited at this very moment", ""),
    ("not_approved", "the match is not approved any more", ""),
];

impl Complaint {
    /// A complaint of the pages' own.
    pub(super) fn new(kind: &'static str, message: &str) -> Self {
        Self { kind, value: String::new(), message: message.to_owned() }
    }

    /// What the service said.
    pub(super) fn of(message: &str) -> Self {
        let told = WORDINGS.iter().find_map(|(kind, before, behind)| {
            let rest = message.strip_prefix(before)?;
            let value = if behind.is_empty() { rest } else { rest.split_once(behind)?.0 };
            Some((*kind, value))
        });
        let (kind, value) = match told {
            Some(told) => told,
            None if message.starts_with("GitLab does not let the service's token read") => ("forbidden", ""),
            // The form asks for a whole number in one place and lets any through.
            None if message.starts_with("invalid type") || message.starts_with("invalid value") => {
                ("whole", "")
            }
            None if message.contains("the YAML") => ("yaml", ""),
            None => ("other", ""),
        };
        Self { kind, value: value.to_owned(), message: message.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{File, Layers};

    #[test]
    fn everything_that_settings_can_be_refused_for_is_known() {
        let yaml = "
min_score: 170
reviewers: [\"@anna\"]
remind_after: bald
batch: {mode: digest, max: 0}
quiet_hours: {from: \"25:99\", timezone: Wien, days: [so], urgent_score: 0.5}
channels:
  email: {delay: x, batch: {mode: digest, every: 0s}}
  slack: {batch: {at: []}}
";
        let mut said = Vec::new();
        for yaml in [yaml, "enforce_reviewers: true\n"] {
            let layers =
                Layers::new("x.yml".to_owned(), yaml.to_owned(), File::parse(yaml).unwrap(), File::default());
            said.extend(layers.policy(None, &BTreeSet::new()).unwrap_err());
        }
        let kinds: BTreeSet<&str> = said.iter().map(|one| Complaint::of(&one.message).kind).collect();
        let wanted = [
            "score", "fraction", "second", "username", "time", "zone", "day", "duration", "nobody", "range",
            "digest", "times", "half",
        ];
        assert_eq!(kinds, wanted.into_iter().collect(), "{said:?}");
    }

    #[test]
    fn what_was_typed_is_told_from_the_wording() {
        let of = |message: &str| {
            let complaint = Complaint::of(message);
            (complaint.kind, complaint.value)
        };
        assert_eq!(
            of("`bald` is no duration; write a number and a unit, such as 6s"),
            ("duration", "bald".to_owned())
        );
        assert_eq!(of("must be from 1 to 100"), ("range", "100".to_owned()));
        assert_eq!(
            of("must be one e-mail address such as clara@example.com, not Clara"),
            ("address", "Clara".to_owned())
        );
        assert_eq!(of("min_score: the YAML cannot be edited: odd"), ("yaml", String::new()));
        assert_eq!(of("something new"), ("other", String::new()));
    }
}
