//! A message is put together: of which matches it tells, in which order, with which addresses.

use std::sync::Arc;

use super::in_flight::{Cargo, Flight};
use super::{Notice, NoticeKind, NoticeMatch, Notifier};
use crate::config::Policy;
use crate::domain::Channel;
use crate::domain::action_link::{Action, ActionLink};
use crate::domain::job_match::Score;
use crate::engine::EngineError;
use crate::mirror::Record;

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
            self.drop_what_is_done(channel, flight).await?;
            if flight.iids.is_empty() {
                return Ok(None);
            }
        }
        let mut matches = Vec::with_capacity(flight.iids.len());
        for iid in &flight.iids {
            if let Some(record) = self.engine().mirror().record(*iid)? {
                matches.push(self.notice_match(record, channel, policy)?);
            }
        }
        let score = |one: &NoticeMatch| one.job.score.map_or(-1.0, Score::percent);
        matches.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.iid.cmp(&b.iid)));
        let kind = match flight.cargo {
            Cargo::Matches if matches.len() == 1 => NoticeKind::Match,
            Cargo::Matches => NoticeKind::Digest,
            Cargo::Reminder => NoticeKind::Reminder,
            Cargo::Quiet => {
                let since = self.now().duration_since(self.no_match_since()?);
                // A match has come since the first try, or nobody wants to know any more.
                if policy.quiet_alarm_after.is_none_or(|after| since < after) {
                    return Ok(None);
                }
                NoticeKind::Quiet { since }
            }
        };
        Ok(Some(self.say(kind, matches, policy).await?))
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
