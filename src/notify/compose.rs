//! A message is put together: of which matches it tells, in which order, with which addresses.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::in_flight::{Cargo, Flight};
use super::{Notice, NoticeKind, NoticeMatch, Notifier};
use crate::config::Policy;
use crate::domain::action_link::{Action, ActionLink};
use crate::domain::job_match::Score;
use crate::domain::{Channel, State};
use crate::engine::{EngineError, Hint};
use crate::mirror::{Record, Standing};

/// How long a match is left alone that GitLab says is not pending although the mirror does.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);

impl Notifier {
    /// What a message says, from what GitLab says now: what was decided or told meanwhile is left out. None where
    /// nothing is left to say.
    pub(super) async fn notice(
        &self,
        channel: Channel,
        flight: &mut Flight,
        policy: &Policy,
    ) -> Result<Option<Arc<Notice>>, EngineError> {
        if flight.cargo != Cargo::Quiet {
            self.leave_out_what_is_done(channel, flight).await?;
            if flight.iids.is_empty() {
                return Ok(None);
            }
        }
        let mut matches = Vec::with_capacity(flight.iids.len());
        for iid in &flight.iids {
            // A rebuild beside us has thrown it away: it is read again first, for who is not told of must get no receipt.
            let record = self.engine().mirror().record(*iid)?.filter(|one| one.standing == Standing::Live);
            matches.push(self.notice_match(record.ok_or(EngineError::Stale)?, channel, policy)?);
        }
        let score = |one: &NoticeMatch| one.job.score.map_or(-1.0, Score::percent);
        matches.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.iid.cmp(&b.iid)));
        let kind = match flight.cargo {
            Cargo::Matches if matches.len() == 1 => NoticeKind::Match,
            Cargo::Matches => NoticeKind::Digest,
            // It was kept or laid aside, and nobody is to be reminded any more.
            Cargo::Reminder if policy.remind_after.is_none() => return Ok(None),
            Cargo::Reminder => NoticeKind::Reminder,
            // A match has come since the first try, nobody wants to know any more, or everybody knows by now: a kill left it
            // both under way and laid aside.
            Cargo::Quiet if !self.quiet_alarm_is_due(channel, policy).await? => return Ok(None),
            Cargo::Quiet => NoticeKind::Quiet { since: self.now().duration_since(self.no_match_since()?) },
        };
        Ok(Some(self.say(kind, matches, policy).await?))
    }

    /// Leaves out of a message what was decided or told meanwhile, as GitLab says now, and what counts no more.
    async fn leave_out_what_is_done(&self, channel: Channel, flight: &mut Flight) -> Result<(), EngineError> {
        let engine = self.engine();
        let connected = engine.connected().await?;
        let issues = connected.project.issues_by_iid(&flight.iids).await?;
        let mut out = Vec::new();
        for iid in &flight.iids {
            let known = engine.mirror().record(*iid)?;
            out.extend(known.filter(|one| one.standing != Standing::Live).map(|one| one.iid));
        }
        let is_pending = |iid: u64| {
            !out.contains(&iid) && issues.iter().any(|issue| issue.iid == iid && engine.is_pending(issue))
        };
        let told = match flight.cargo {
            Cargo::Matches => self.told_by_now(&connected, channel, &flight.iids).await?,
            Cargo::Reminder | Cargo::Quiet => Vec::new(),
        };
        let (mut pending, mut decided): (Vec<u64>, Vec<u64>) =
            flight.iids.iter().partition(|iid| is_pending(**iid));
        for iid in &decided {
            engine.hint(*iid, Hint::default());
        }
        pending.retain(|iid| !told.contains(iid));
        decided.retain(|iid| !told.contains(iid));
        flight.iids = pending;
        self.let_go_of(channel, flight, decided).await?;
        if flight.cargo == Cargo::Reminder {
            let owed = engine.mirror().reminders(channel)?;
            flight.iids.retain(|iid| owed.contains(iid));
        }
        Ok(())
    }

    /// What becomes of matches that GitLab does not show as pending any more: where somebody has the message they count as
    /// told of, else they are left alone until they have been looked at.
    async fn let_go_of(
        &self,
        channel: Channel,
        flight: &Flight,
        decided: Vec<u64>,
    ) -> Result<(), EngineError> {
        if flight.delivered.is_empty() || decided.is_empty() {
            let again = self.now().checked_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX);
            self.change(channel, |state| {
                state.later.extend(decided.iter().map(|iid| (*iid, again)));
                state.in_doubt.extend(decided);
            });
            return Ok(());
        }
        // Put back to pending, it would be planned afresh and go to those once more who have it.
        for iid in &decided {
            let known = self.engine().mirror().record(*iid)?;
            if known.is_some_and(|one| one.standing == Standing::Live && one.state == State::Pending) {
                // It only looks decided, by a label that may be taken back or a copy that lags: it is looked at first.
                return Err(EngineError::Stale);
            }
        }
        let told = Flight { iids: decided, sent_at: Some(self.now()), ..flight.clone() };
        self.acknowledge(channel, &told).await
    }

    /// A notice with the addresses that every notice has.
    pub(super) async fn say(
        &self,
        kind: NoticeKind,
        matches: Vec<NoticeMatch>,
        policy: &Policy,
    ) -> Result<Arc<Notice>, EngineError> {
        Ok(Arc::new(Notice {
            kind,
            language: policy.language,
            matches,
            list_url: self.engine().list_url().await?,
            inbox_url: self.inner.inbox_url.clone(),
        }))
    }

    fn notice_match(
        &self,
        record: Record,
        channel: Channel,
        policy: &Policy,
    ) -> Result<NoticeMatch, EngineError> {
        let link = |action| self.link_to(action, &record, channel, policy);
        let (approve_url, reject_url) = (link(Action::Approve), link(Action::Reject));
        let waiting = self.now().duration_since(record.stands_since());
        Ok(NoticeMatch {
            possible_duplicates: self.engine().mirror().possible_duplicates(&record.job, Some(record.iid))?,
            iid: record.iid,
            web_url: record.web_url,
            job: record.job,
            waiting,
            approve_url,
            reject_url,
        })
    }

    /// A link that decides about a pending match, where the channel is to have such.
    fn link_to(&self, action: Action, record: &Record, channel: Channel, policy: &Policy) -> Option<String> {
        let wanted = policy.channels.get(&channel).is_some_and(|channel| channel.action_links);
        let links = self.inner.links.as_ref().filter(|_| wanted)?;
        // It is made after what it knows of, though GitLab's clock may be ahead.
        let made = record.decided_at.map_or(self.now(), |decided| decided.max(self.now()));
        let link = ActionLink::new(record.iid, action, channel, made);
        Some(links.address(&link, record.issue_id))
    }
}
