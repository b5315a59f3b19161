//! Sending the application, at most once, also with two instances.
//!
//! An attempt is written into a comment before anything leaves; then all attempts are read, and the mail leaves only
//! where ours is the only one that is not resolved, the draft is still the one that the attempt is about, and the match
//! is still approved. What became of it is written into that comment.
//!
//! An attempt whose comment says nothing of its end is under way for minutes at the most: nobody else sends
//! meanwhile (409). Afterwards, or where it is this disk's own from before a restart, its maker is dead and it is in
//! doubt (`send_unknown`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lettre::message::Mailbox;
use serde_json::json;
use uuid::Uuid;

use super::draft::{content, draft_note, problems, recipient};
use super::{Mail, Outgoing, OutgoingError, letter};
use crate::channels::Outcome;
use crate::channels::mime;
use crate::domain::State;
use crate::domain::history::Through;
use crate::domain::masked::masked;
use crate::domain::posted_match::FieldError;
use crate::domain::sending::{Attempt, AttemptOutcome, DraftContent};
use crate::engine::{EngineError, Looked};
use crate::gitlab::draft_text;
use crate::mirror::Record;

/// How old an attempt may be when its mail begins to leave; GitLab is asked before. A later one is withdrawn, so that
/// nobody else takes it for dead while it is not.
const HANDED_OVER_BY: SignedDuration = SignedDuration::from_secs(60);
/// How long handing a mail over may take, by whatever way; SMTP's own deadlines are shorter.
const HANDING_OVER: Duration = Duration::from_secs(60);
/// How often all attempts are read while another one, younger than ours, is about to be withdrawn.
const LOOKS: usize = 5;
/// The pause between those looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// When it is worth trying again where the mail server does not say.
const AGAIN: Duration = Duration::from_secs(60);

/// An order to send.
#[derive(Clone, Debug, Default)]
pub struct SendRequest {
    /// Stands for the draft that is meant, where the caller says which; another one is not sent.
    pub draft: Option<String>,
    /// Why it is sent although the same role may have been offered already through another agency.
    pub override_reason: Option<String>,
    /// A person says that an attempt of which nobody knows whether it succeeded is to be repeated.
    pub retry: bool,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// The match as it is now.
    pub record: Record,
    /// When; none where a person sent it and GitLab does not say when.
    pub at: Option<Timestamp>,
    /// To whom; none where a person sent it.
    pub to: Option<String>,
    /// The mail's id; none where a person sent it.
    pub message_id: Option<String>,
    /// Who had it sent.
    pub by: Option<String>,
    /// Why it was sent although there is a possible duplicate.
    pub override_reason: Option<String>,
}

impl Sent {
    pub(super) fn of(record: Record) -> Self {
        match record.sending.sent().cloned() {
            Some(attempt) => Self {
                at: attempt.at,
                to: Some(attempt.to),
                message_id: Some(attempt.message_id),
                by: Some(attempt.by),
                override_reason: attempt.override_reason,
                record,
            },
            None => Self {
                at: record.decided_at,
                to: None,
                message_id: None,
                by: record.decided_by.clone(),
                override_reason: None,
                record,
            },
        }
    }
}

/// A mail that is ready, and what it is made of.
struct Ready {
    to: Mailbox,
    content: DraftContent,
    mail: mime::Mail,
}

impl Outgoing {
    /// Sends the draft of an approved match by mail and marks the match as sent. Of a sent match it says what was sent
    /// and sends nothing; while another attempt is under way, neither.
    ///
    /// # Errors
    ///
    /// [`OutgoingError`]; but for [`OutgoingError::InDoubt`] nothing has left.
    pub async fn send(
        &self,
        iid: u64,
        request: SendRequest,
        by: &str,
        through: Through,
    ) -> Result<Sent, OutgoingError> {
        let (outgoing, by) = (self.clone(), by.to_owned());
        self.engine()
            .uncancelled("sending", async move { outgoing.send_once(iid, request, &by, through).await })
            .await
    }

    async fn send_once(
        &self,
        iid: u64,
        request: SendRequest,
        by: &str,
        through: Through,
    ) -> Result<Sent, OutgoingError> {
        let _one_at_a_time = self.inner.sending.lock().await;
        if request.override_reason.is_none() {
            // Before this match is held. What cannot be read now is said once it matters.
            let read = self.engine().read_those_of_the_same_role(iid).await;
            let _ = read
                .inspect_err(|error| tracing::warn!(iid, %error, "possible duplicates could not be read"));
        }
        let mut looked = self.engine().look_closely(iid).await?;
        // What is said of an earlier attempt is brought up to date before it is answered.
        if looked.record.sending.attempt.is_some()
            && let Err(error) = self.finish(&mut looked).await
        {
            tracing::warn!(iid, error = %masked(&error.to_string()), "GitLab could not be told yet what became of sending match {iid}");
        }
        if looked.record.sending.sent().is_some() || looked.record.state == State::Sent {
            return Ok(Sent::of(looked.record));
        }
        self.may_try_again(&looked, request.retry)?;
        if looked.record.state != State::Approved {
            return Err(OutgoingError::WrongState {
                what: "nothing can be sent",
                state: looked.record.state,
            });
        }
        let mail = self.inner.mail.as_ref().ok_or(OutgoingError::NotSetUp)?;
        let ready = self.prepare(&looked, mail, request.draft.as_deref()).await?;
        self.check_duplicates(&looked, &request).await?;
        self.give_up_doubts(&mut looked).await?;
        let attempt = Attempt {
            note: 0,
            nonce: Uuid::new_v4(),
            instance: self.inner.instance,
            since: self.now(),
            draft: ready.content.etag(),
            to: ready.to.email.to_string(),
            message_id: ready.mail.message_id.clone(),
            by: by.to_owned(),
            through,
            override_reason: request.override_reason,
            outcome: AttemptOutcome::Open,
            at: None,
            reason: None,
            resolved_by: None,
        };
        let attempt = self.announce(&looked, attempt).await?;
        let erased = self.take_back_if_erased(&looked, attempt.note).await;
        if let Err(OutgoingError::Unknown(iid)) = erased {
            return Err(OutgoingError::Unknown(iid));
        }
        let may_leave = match erased {
            Ok(()) => self.is_ours_alone(&mut looked, &attempt).await,
            failed => failed,
        };
        if let Err(error) = may_leave {
            self.resolve(&mut looked, attempt, AttemptOutcome::Withdrawn, Some(error.to_string())).await?;
            return Err(error);
        }
        self.hand_over(&mut looked, attempt, &ready).await
    }

    /// Whether a match of which nobody knows whether its mail left may be tried once more.
    fn may_try_again(&self, looked: &Looked, retry: bool) -> Result<(), OutgoingError> {
        let Some(doubt) = looked.record.sending.doubt() else { return Ok(()) };
        if let Some(left) = self.is_under_way(doubt) {
            return Err(OutgoingError::UnderWay(left));
        }
        if retry {
            return Ok(());
        }
        let reason = doubt.reason.clone();
        Err(OutgoingError::InDoubt(reason.unwrap_or_else(|| "an attempt broke off".to_owned())))
    }

    /// How long an attempt may still be under way; none where it cannot be any more. Nobody of this disk sends while the
    /// issue is held: whoever began one of its attempts is dead.
    pub(super) fn is_under_way(&self, attempt: &Attempt) -> Option<Duration> {
        attempt.may_take(self.now()).filter(|_| attempt.instance != self.inner.instance)
    }

    /// The draft as a mail; everything that could be wrong with it is found now, and that it is another than the caller
    /// saw.
    async fn prepare(
        &self,
        looked: &Looked,
        mail: &Mail,
        seen: Option<&str>,
    ) -> Result<Ready, OutgoingError> {
        let record = &looked.record;
        let missing = || OutgoingError::Conflict(OutgoingError::NoDraft(record.iid).to_string());
        let note = draft_note(looked).ok_or_else(missing)?;
        let content = content(note)?;
        let etag = content.etag();
        if seen.is_some_and(|seen| seen != etag) {
            return Err(OutgoingError::Changed(etag));
        }
        let wrong = problems(&content);
        if !wrong.is_empty() {
            return Err(OutgoingError::Invalid(wrong));
        }
        let contact = record.job.contact.as_ref().and_then(|contact| contact.email.as_deref());
        let (field, to) = match (&content.to, contact) {
            (Some(to), _) => ("to", to.as_str()),
            (None, Some(to)) => ("contact.email", to),
            (None, None) => {
                let message = "is missing: neither the draft nor the match's contact has an address";
                return Err(OutgoingError::field("to", message));
            }
        };
        let to = recipient(to).map_err(|message| {
            OutgoingError::Invalid(vec![FieldError { field: field.to_owned(), message }])
        })?;
        let page = json!({ "letter": letter::as_html(&content.body) });
        let html = self
            .engine()
            .templates()
            .render("mail/application.html", page)
            .map_err(|error| EngineError::Text(error.to_string()))?;
        let ready = mime::Mail {
            from: mail.from.clone(),
            to: to.clone(),
            reply_to: self.answers_to(looked, mail).await,
            subject: content.subject.clone(),
            html,
            text: letter::as_text(&content.body),
            message_id: self.message_id(record.iid, &content, mail),
            references: Vec::new(),
            list_id: None,
            date: self.now(),
            attachments: self.attachments(looked, &content).await?,
        };
        Ok(Ready { to, content, mail: ready })
    }

    /// The same draft of the same match has the same id: should a person have it sent twice, mail programs show it once.
    fn message_id(&self, iid: u64, content: &DraftContent, mail: &Mail) -> String {
        format!("<application.{iid}.{}.{}@{}>", content.etag(), self.inner.home, mail.from.email.domain())
    }

    /// Where answers go: to the reviewer who approved, else to the first one; by the address that they show in GitLab.
    async fn answers_to(&self, looked: &Looked, mail: &Mail) -> Option<Mailbox> {
        let reviewers = &looked.connected.reviewers;
        let decided_by = looked.record.decided_by.as_deref().unwrap_or_default();
        let reviewer =
            reviewers.iter().find(|one| one.username.eq_ignore_ascii_case(decided_by)).or(reviewers.first());
        let shown = match reviewer {
            Some(reviewer) => looked.connected.project.gitlab().public_email(reviewer.id).await.unwrap_or_else(|error| {
                tracing::warn!(error = %masked(&error.to_string()), "the reviewer's address could not be read; answers go to VORHOELLE_MAIL_TO");
                None
            }),
            None => None,
        };
        shown.and_then(|email| recipient(&email).ok()).or_else(|| mail.answers.clone())
    }

    /// Whether the same role was sent through another agency already. A mail cannot be taken back, so that GitLab is asked
    /// too: the label may have been put on a moment ago. After a lost disk, and beside a rebuild, the others may not be known
    /// yet, or what was done about them.
    async fn check_duplicates(&self, looked: &Looked, request: &SendRequest) -> Result<(), OutgoingError> {
        if request.override_reason.is_some() {
            return Ok(());
        }
        let (engine, job) = (self.engine(), &looked.record.job);
        let knew_all = engine.has_read_everything()?;
        let alike = engine.mirror().of_the_same_role(job, Some(looked.record.iid))?;
        let iids: Vec<u64> = alike.iter().map(|other| other.iid).collect();
        let shown = engine.shown_as(looked, &iids, State::Sent).await?;
        let is_sent = |other: &&Record| {
            other.state == State::Sent || other.sending.attempt.is_some() || shown.contains(&other.iid)
        };
        let sent: Vec<u64> = alike.iter().filter(is_sent).map(|other| other.iid).collect();
        if !sent.is_empty() {
            return Err(OutgoingError::Duplicate(sent));
        }
        let unread = engine.unread_of_the_same_role(job, looked.record.iid)?;
        // Asked on both sides: a rebuild may have begun in between.
        if !knew_all || !engine.has_read_everything()? {
            return Err(EngineError::NotReady.into());
        }
        if unread.is_empty() { Ok(()) } else { Err(OutgoingError::UnreadDuplicate(unread)) }
    }

    /// A person had it tried again: attempts in doubt are done with.
    async fn give_up_doubts(&self, looked: &mut Looked) -> Result<(), OutgoingError> {
        let mut given_up = Vec::new();
        while let Some(doubt) = looked.record.sending.doubt().cloned() {
            if given_up.contains(&doubt.nonce) {
                // A copy of GitLab that does not show yet what was just written.
                return Err(EngineError::Stale.into());
            }
            given_up.push(doubt.nonce);
            // Of another instance, which was ordered to repeat it at the same time: that one is not in doubt.
            if let Some(left) = self.is_under_way(&doubt) {
                return Err(OutgoingError::UnderWay(left));
            }
            self.resolve(looked, doubt, AttemptOutcome::Retried, None).await?;
            self.engine().read_notes(looked).await?;
        }
        Ok(())
    }

    /// Writes the attempt's comment. An answer that got lost is looked for.
    async fn announce(&self, looked: &Looked, mut attempt: Attempt) -> Result<Attempt, OutgoingError> {
        let text = self.attempt_text(&attempt)?;
        let mark = attempt.nonce.to_string();
        let iid = looked.record.iid;
        if self.is_erased(iid)? {
            return Err(OutgoingError::Unknown(iid));
        }
        attempt.note = looked.connected.comment_marked(iid, &text, &mark).await?.id;
        Ok(attempt)
    }

    /// Reads everything again: only where ours is the only attempt that is not resolved, the draft is still the same and
    /// the match still approved, may the mail leave. The first of several waits for the others to be withdrawn.
    async fn is_ours_alone(&self, looked: &mut Looked, attempt: &Attempt) -> Result<(), OutgoingError> {
        let mut alone = false;
        for look in 0..LOOKS {
            if look > 0 {
                self.engine().clock().sleep(BETWEEN_LOOKS).await;
            }
            self.engine().read_notes(looked).await?;
            let attempts = draft_text::attempts(&looked.notes);
            if attempts.iter().any(|one| one.outcome == AttemptOutcome::Sent) {
                return Err(OutgoingError::Conflict("another attempt has just sent it".to_owned()));
            }
            let open: Vec<u64> =
                attempts.iter().filter(|one| one.outcome.is_unresolved()).map(|one| one.note).collect();
            if open.iter().any(|note| *note < attempt.note) {
                return Err(OutgoingError::Conflict("another attempt to send it was first".to_owned()));
            }
            alone = open == [attempt.note];
            if alone {
                break;
            }
        }
        if !alone {
            return Err(OutgoingError::Conflict("another attempt to send it does not end".to_owned()));
        }
        let same =
            draft_note(looked).map(content).transpose()?.is_some_and(|now| now.etag() == attempt.draft);
        if !same {
            return Err(OutgoingError::Conflict(
                "the draft was edited at this very moment; look at it again".to_owned(),
            ));
        }
        if !self.engine().stands_in(looked, State::Approved).await? {
            return Err(OutgoingError::Conflict("the match is not approved any more".to_owned()));
        }
        if self.now().duration_since(attempt.since) > HANDED_OVER_BY {
            let reason = "GitLab took too long to say whether it may be sent".to_owned();
            return Err(OutgoingError::NotNow { reason, after: AGAIN });
        }
        Ok(())
    }

    async fn hand_over(
        &self,
        looked: &mut Looked,
        mut attempt: Attempt,
        ready: &Ready,
    ) -> Result<Sent, OutgoingError> {
        let iid = looked.record.iid;
        let Some(mail) = &self.inner.mail else { return Err(OutgoingError::NotSetUp) };
        let handed_over = tokio::time::timeout(HANDING_OVER, mail.sender.hand_over(&ready.mail, 0)).await;
        let outcome = handed_over.unwrap_or_else(|_| Outcome::TryAgain {
            after: None,
            reason: "handing the mail over took too long".to_owned(),
            unclear: true,
        });
        match outcome {
            Outcome::Sent { id } => {
                tracing::info!(iid, "the application of match {iid} is sent");
                self.inner.metrics.told("application", "sent");
                if let Some(id) = id.filter(|id| id.starts_with('<') && id.ends_with('>')) {
                    attempt.message_id = id;
                }
                self.resolve(looked, attempt, AttemptOutcome::Sent, None).await?;
                if let Err(error) = self.finish(looked).await {
                    tracing::warn!(iid, error = %masked(&error.to_string()), "GitLab could not be told yet that match {iid} was sent; it will be");
                }
                Ok(Sent::of(looked.record.clone()))
            }
            Outcome::TryAgain { reason, unclear: true, .. } => {
                tracing::error!(iid, reason = %masked(&reason), "it is uncertain whether the application of match {iid} left");
                self.inner.metrics.told("application", "unknown");
                self.resolve(looked, attempt, AttemptOutcome::Unknown, Some(reason.clone())).await?;
                Err(OutgoingError::InDoubt(reason))
            }
            Outcome::TryAgain { reason, after, .. } => {
                self.inner.metrics.told("application", "failed");
                self.resolve(looked, attempt, AttemptOutcome::Failed, Some(reason.clone())).await?;
                Err(OutgoingError::NotNow { reason, after: after.unwrap_or(AGAIN) })
            }
            Outcome::GiveUp { reason } => {
                self.inner.metrics.told("application", "failed");
                self.resolve(looked, attempt, AttemptOutcome::Failed, Some(reason.clone())).await?;
                Err(OutgoingError::Refused(reason))
            }
        }
    }
}
