//! Two issues of one match, from two instances or an answer that was lost: the lower iid stays.

use jiff::{SignedDuration, Timestamp};

use super::{Connected, Engine, EngineError, Hint};
use crate::domain::State;
use crate::domain::decide::Observed;
use crate::domain::history::Through;
use crate::gitlab::Issue;
use crate::gitlab::issues::IssueChange;
use crate::mirror::{Record, Standing};

/// How soon a decision about a second issue is carried over again where that did not work.
const CARRIED_OVER_AGAIN: SignedDuration = SignedDuration::from_secs(2);

impl Engine {
    /// Two issues with one identity: the lower iid stays, the later hands over its decision, names the first and goes.
    pub(super) async fn retire(
        &self,
        connected: &Connected,
        issue: Issue,
        observed: &Observed,
        mut record: Record,
        first: &Record,
    ) -> Result<(), EngineError> {
        record.standing = Standing::Duplicate;
        record.history_known = true;
        if observed.is_match || !observed.states.is_empty() {
            self.may_follow()?;
            self.may_write()?;
        }
        let decided = observed.states.iter().copied().find(|state| *state != State::Pending);
        let may_be_decided = first.state == State::Pending && first.standing == Standing::Live;
        if let Some(to) = decided.filter(|_| may_be_decided) {
            self.carry_over(first.iid, issue.iid, to);
            return Ok(());
        }
        if observed.is_match || !observed.states.is_empty() {
            tracing::warn!(
                iid = issue.iid,
                first = first.iid,
                "issue {} is a second one of match {}",
                issue.iid,
                first.iid
            );
            let text = self.duplicate_text(first.iid)?;
            if !self.has_said(connected, &issue, &text, None).await? {
                connected.project.comment(issue.iid, &text).await?;
            }
            let names = self.names();
            let labels =
                issue.labels.iter().filter(|name| names.kind_of_name(name).is_some()).cloned().collect();
            let close = (!observed.closed).then_some(true);
            let change = IssueChange { remove_labels: labels, close, ..IssueChange::default() };
            let after = self.write(connected, issue, &change).await?;
            record.updated_at = after.updated_at;
            record.comments = after.user_notes_count;
        }
        Ok(self.inner.mirror.put(&record, None)?)
    }

    /// Decides about the first issue of a match what was decided about a later one, and looks at that one again: until
    /// the first shows it, the later one stays as it is. In the first one's own turn, whose lock may be held by somebody
    /// who waits for ours.
    fn carry_over(&self, first: u64, later: u64, to: State) {
        let engine = self.clone();
        tokio::spawn(async move {
            // There is no step from pending to sent.
            let steps = if to == State::Sent { vec![State::Approved, State::Sent] } else { vec![to] };
            let mut from = State::Pending;
            for to in steps {
                let decision = super::Decision {
                    from: Some(from),
                    to,
                    by: "service".to_owned(),
                    through: Through::Service,
                    comment: Some(format!("{} #{later}", engine.policy().language.pick("wie in", "as in"))),
                };
                if let Err(error) = engine.decide(first, decision).await {
                    tracing::warn!(iid = first, %error, "the decision about {later}, a second issue of {first}, could not be carried over yet");
                    let soon = engine.inner.clock.now().checked_add(CARRIED_OVER_AGAIN);
                    engine.inner.queue.push_later(later, Hint::default(), soon.unwrap_or(Timestamp::MAX));
                    return;
                }
                from = to;
            }
            engine.hint(later, Hint::default());
        });
    }
}
