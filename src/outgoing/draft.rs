//! The draft: one comment of ours that people edit. It is read afresh each time, so that nobody's edit is overwritten
//! unseen.

use lettre::message::Mailbox;

use super::{Outgoing, OutgoingError};
use crate::channels::mime::File;
use crate::domain::State;
use crate::domain::history::Through;
use crate::domain::posted_match::{FieldError, clean_line, clean_text};
use crate::domain::sending::{AttemptOutcome, DraftContent};
use crate::engine::{EngineError, Looked};
use crate::gitlab::draft_text::{self, DraftIs};
use crate::gitlab::notes::Note;
use crate::gitlab::{GitlabError, files};
use crate::mirror::Record;

/// Longest subject, in characters.
const SUBJECT_LIMIT: usize = 250;
/// Longest body, in characters.
const BODY_LIMIT: usize = 100_000;
/// Most attachments.
const ATTACHMENTS_LIMIT: usize = 10;
/// Longest path of an attachment, in characters.
const PATH_LIMIT: usize = 500;
/// Most bytes of all attachments together; mail servers take some 25 MB, and a third is added on the way.
const BYTES_LIMIT: u64 = 15 * 1024 * 1024;

/// A draft as its comment has it now.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The match.
    pub record: Record,
    /// What is to be sent, or was.
    pub content: DraftContent,
    /// Stands for exactly this content.
    pub etag: String,
    /// Whether this call wrote the first one.
    pub created: bool,
}

/// A draft as somebody puts it.
#[derive(Clone, Debug, Default)]
pub struct DraftInput {
    /// The recipient's address; none for the match's contact.
    pub to: Option<String>,
    /// One line.
    pub subject: String,
    /// Markdown.
    pub body: String,
    /// Paths in the project's repository.
    pub attachments: Vec<String>,
}

impl Outgoing {
    /// The draft of a match as GitLab has it now; none where there is none.
    ///
    /// # Errors
    ///
    /// Where there is no such match, its comment cannot be read any more, or GitLab did not do its part.
    pub async fn draft(&self, iid: u64) -> Result<Option<Draft>, OutgoingError> {
        // Looking follows what people did, which is more than reading.
        let outgoing = self.clone();
        let reading = async move {
            let looked = outgoing.engine().look_closely(iid).await?;
            let Some(note) = draft_note(&looked) else { return Ok(None) };
            let content = content(note)?;
            Ok(Some(Draft { etag: content.etag(), content, record: looked.record, created: false }))
        };
        self.engine().uncancelled("reading the draft", reading).await
    }

    /// Writes a draft, or replaces the one that `expected_etag` stands for; a program's own, which nobody has edited since,
    /// without it. The same draft again changes nothing.
    ///
    /// # Errors
    ///
    /// [`OutgoingError`] says why it was not taken.
    pub async fn put_draft(
        &self,
        iid: u64,
        input: DraftInput,
        expected_etag: Option<&str>,
        by: &str,
        through: Through,
    ) -> Result<Draft, OutgoingError> {
        let (outgoing, expected) = (self.clone(), expected_etag.map(str::to_owned));
        let by = by.to_owned();
        let drafting = async move {
            let is = if through == Through::Page { DraftIs::Persons } else { DraftIs::Programs(&by) };
            let draft = outgoing.put_once(iid, input, expected.as_deref(), is).await?;
            tracing::info!(iid, by, ?through, created = draft.created, "match {iid} has a draft");
            Ok(draft)
        };
        self.engine().uncancelled("drafting", drafting).await
    }

    async fn put_once(
        &self,
        iid: u64,
        input: DraftInput,
        expected: Option<&str>,
        is: DraftIs<'_>,
    ) -> Result<Draft, OutgoingError> {
        let mut content = checked(input).map_err(OutgoingError::Invalid)?;
        let mut looked = self.engine().look_closely(iid).await?;
        if content.to.is_none() {
            // People shall see in the draft who gets it.
            let contact = looked.record.job.contact.as_ref().and_then(|contact| contact.email.clone());
            content.to = contact.filter(|email| recipient(email).is_ok());
        }
        may_draft(&looked)?;
        let there = draft_note(&looked).cloned();
        let before = there.as_ref().map(|note| draft_text::read_draft(&note.body));
        let same = matches!(&before, Some(Ok(before)) if *before == content);
        let etag_before = before.as_ref().map(|read| read.as_ref().map_or(String::new(), DraftContent::etag));
        let is_callers_own = match (&there, is) {
            (Some(note), DraftIs::Programs(name)) => draft_text::is_as_written_by(&note.body, name),
            _ => false,
        };
        // The same once more, as after an answer that got lost, changes nothing, whatever was there when it was read.
        if !same {
            precondition(expected, etag_before.as_deref(), is_callers_own)?;
        }
        self.check_attachments(&looked, &content).await?;
        let created = there.is_none();
        if !same {
            self.write(&mut looked, &content, is, there.as_ref()).await?;
        }
        Ok(Draft { etag: content.etag(), content, record: looked.record, created })
    }

    async fn write(
        &self,
        looked: &mut Looked,
        content: &DraftContent,
        is: DraftIs<'_>,
        there: Option<&Note>,
    ) -> Result<(), OutgoingError> {
        let iid = looked.record.iid;
        let language = self.engine().policy().language;
        let text = draft_text::draft(self.engine().templates(), language, content, is)
            .map_err(|error| EngineError::Text(error.to_string()))?;
        let connected = &looked.connected;
        if let Some(note) = there.filter(|note| connected.may_edit(note)) {
            connected.project.edit_comment(iid, note.id, &text).await?;
            return Ok(());
        }
        if self.is_erased(iid)? {
            return Err(OutgoingError::Unknown(iid));
        }
        // An earlier bot's may not be edited: ours is written beside it, and counts from then on.
        let written = match connected.keeping_todo(iid, connected.project.comment(iid, &text)).await {
            // It may be there all the same; what is read next tells.
            Err(error) if error.is_unclear() => None,
            other => Some(other?.id),
        };
        if let Some(note) = written {
            self.take_back_if_erased(looked, note).await?;
        }
        self.engine().read_notes(looked).await?;
        let counts = draft_note(looked).filter(|note| looked.connected.may_edit(note));
        match (counts.map(|note| note.id), written) {
            (None, _) => Err(OutgoingError::NotNow {
                reason: "GitLab did not say whether it took the draft's comment".to_owned(),
                after: std::time::Duration::from_secs(5),
            }),
            (Some(first), Some(ours)) if first != ours => {
                // Another instance was first: its draft counts, ours goes.
                looked.connected.project.delete_comment(iid, ours).await?;
                Err(OutgoingError::SayWhich)
            }
            _ => Ok(()),
        }
    }

    /// Every attachment is there, and all together are not too large.
    async fn check_attachments(&self, looked: &Looked, content: &DraftContent) -> Result<(), OutgoingError> {
        let mut bytes = 0;
        let mut wrong = Vec::new();
        for (index, path) in content.attachments.iter().enumerate() {
            match looked.connected.project.file_size(path).await {
                Ok(Some(size)) => bytes += size,
                Ok(None) => wrong.push(missing(index, path)),
                Err(error) => return Err(unreadable(index, error)),
            }
        }
        if !wrong.is_empty() {
            return Err(OutgoingError::Invalid(wrong));
        }
        if bytes > BYTES_LIMIT { Err(too_large()) } else { Ok(()) }
    }

    /// The attachments as the default branch has them now.
    pub(super) async fn attachments(
        &self,
        looked: &Looked,
        content: &DraftContent,
    ) -> Result<Vec<File>, OutgoingError> {
        self.check_attachments(looked, content).await?;
        let mut all = Vec::with_capacity(content.attachments.len());
        let mut bytes = 0;
        for (index, path) in content.attachments.iter().enumerate() {
            let file = looked.connected.project.file(path).await.map_err(|error| unreadable(index, error))?;
            let file = file.ok_or_else(|| OutgoingError::Invalid(vec![missing(index, path)]))?;
            bytes += file.len() as u64;
            if bytes > BYTES_LIMIT {
                return Err(too_large());
            }
            all.push(super::letter::attachment(path, file.to_vec()));
        }
        Ok(all)
    }
}

/// The draft's comment.
pub(super) fn draft_note(looked: &Looked) -> Option<&Note> {
    let id = looked.record.sending.draft?;
    looked.notes.iter().find(|note| note.id == id)
}

/// What a draft's comment says; edited by people, so that it is checked like what is put.
pub(super) fn content(note: &Note) -> Result<DraftContent, OutgoingError> {
    draft_text::read_draft(&note.body).map_err(|error| OutgoingError::field("draft", error.to_string()))
}

fn may_draft(looked: &Looked) -> Result<(), OutgoingError> {
    let record = &looked.record;
    if record.sending.sent().is_some() {
        return Err(OutgoingError::Conflict(
            "the application was sent; its draft is the archive now".to_owned(),
        ));
    }
    if let Some(doubt) = record.sending.doubt() {
        if doubt.outcome == AttemptOutcome::Open {
            return Err(OutgoingError::Conflict("the draft is being sent right now".to_owned()));
        }
        let reason = doubt.reason.clone().unwrap_or_else(|| "its sending broke off".to_owned());
        return Err(OutgoingError::Conflict(format!(
            "it is uncertain whether the draft was sent ({reason}); that has to be resolved first"
        )));
    }
    match record.state {
        State::Pending | State::Approved => Ok(()),
        state => Err(OutgoingError::WrongState { what: "no draft can be written", state }),
    }
}

/// `If-Match` against the draft that is there. Whoever replaces their own text, which nobody has edited, need not say so.
fn precondition(
    expected: Option<&str>,
    there: Option<&str>,
    is_callers_own: bool,
) -> Result<(), OutgoingError> {
    match (expected, there) {
        (None, None) => Ok(()),
        (None, Some(_)) if is_callers_own => Ok(()),
        (Some(_), None) => Err(OutgoingError::NotThere),
        (None, Some(_)) => Err(OutgoingError::SayWhich),
        (Some(expected), Some(there)) if expected == "*" || expected == there => Ok(()),
        (Some(_), Some(there)) => Err(OutgoingError::Changed(there.to_owned())),
    }
}

/// What was put, cleaned, or everything that is wrong with it.
fn checked(input: DraftInput) -> Result<DraftContent, Vec<FieldError>> {
    let content = DraftContent {
        to: input.to.map(|to| clean_line(&to)).filter(|to| !to.is_empty()),
        subject: clean_line(&input.subject),
        body: clean_text(&input.body),
        attachments: input.attachments,
    };
    let wrong = problems(&content);
    if wrong.is_empty() { Ok(content) } else { Err(wrong) }
}

/// Everything that is wrong with a draft.
pub(super) fn problems(content: &DraftContent) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    let mut say = |field: String, message: String| wrong.push(FieldError { field, message });
    if let Some(to) = &content.to
        && let Err(error) = recipient(to)
    {
        say("to".to_owned(), error);
    }
    if content.subject.is_empty() || content.subject.chars().count() > SUBJECT_LIMIT {
        say("subject".to_owned(), format!("is required: text of 1–{SUBJECT_LIMIT} characters"));
    }
    if content.body.trim().is_empty() || content.body.chars().count() > BODY_LIMIT {
        say("body".to_owned(), format!("is required: Markdown of 1–{BODY_LIMIT} characters"));
    }
    if content.body.contains("<!--") {
        // GitLab does not show what stands there, and the employer would read it.
        let message =
            "holds `<!--`, which begins a comment that GitLab hides and a mail shows; remove the comment";
        say("body".to_owned(), message.to_owned());
    }
    if content.attachments.len() > ATTACHMENTS_LIMIT {
        say("attachments".to_owned(), format!("at most {ATTACHMENTS_LIMIT} are allowed"));
    }
    for (index, path) in content.attachments.iter().enumerate() {
        let odd = |segment: &str| matches!(segment, "" | "." | "..");
        let odd = path.split('/').any(odd) || path.chars().any(char::is_control) || path.trim() != path;
        if odd || path.chars().count() > PATH_LIMIT {
            say(
                format!("attachments[{index}]"),
                "must be a path in the repository such as docs/cv.pdf".to_owned(),
            );
        }
    }
    wrong
}

/// Reads a recipient: one address, with a name or without.
pub(super) fn recipient(to: &str) -> Result<Mailbox, String> {
    let wrong = || format!("must be one e-mail address such as clara@example.com, not {to}");
    let mailbox: Mailbox = to.trim().parse().map_err(|_| wrong())?;
    // A mail server without SMTPUTF8 refuses anything else, after we have promised to send.
    let plain = AsRef::<str>::as_ref(&mailbox.email).is_ascii();
    if plain && mailbox.email.domain().contains('.') { Ok(mailbox) } else { Err(wrong()) }
}

fn missing(index: usize, path: &str) -> FieldError {
    FieldError {
        field: format!("attachments[{index}]"),
        message: format!("there is no file {path} on the default branch of the project's repository"),
    }
}

fn unreadable(index: usize, error: GitlabError) -> OutgoingError {
    if files::is_forbidden(&error) {
        let message = "GitLab does not let the service's token read the repository: it needs at least the role Reporter";
        return OutgoingError::field(format!("attachments[{index}]"), message);
    }
    if error.status().is_some_and(|status| status.is_redirection()) {
        let message =
            "lies in large file storage that GitLab does not hand out itself; commit the file without it";
        return OutgoingError::field(format!("attachments[{index}]"), message);
    }
    error.into()
}

fn too_large() -> OutgoingError {
    let limit = BYTES_LIMIT / 1024 / 1024;
    OutgoingError::field(
        "attachments",
        format!("together they have more than {limit} MiB, which mail servers refuse"),
    )
}
