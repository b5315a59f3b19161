//! Copies of GitLab's database that lag behind: nobody acts on what they show. One that lags for minutes is none, and is
//! believed: then GitLab's events are incomplete, as after an import, or all of GitLab was set back from a backup.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{Engine, EngineError};
use crate::domain::State;
use crate::domain::decide::Observed;
use crate::gitlab::Issue;
use crate::gitlab::events::{LabelAction, LabelEvent};
use crate::gitlab::labels::LabelKind;

/// Every half minute GitLab looks which of its copies lag for longer than a minute, and asks them no more, unless it was
/// set up otherwise.
const LAGS_AT_MOST: SignedDuration = SignedDuration::from_mins(2);
/// So many looks that showed the same are no copy's.
const BELIEVED_AFTER: u32 = 7;
/// Events that tell who acted may come so much later than what they did.
const EVENTS_LAG_AT_MOST: SignedDuration = SignedDuration::from_secs(10);
/// What was believed, or never looked at again, is forgotten after so long.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Issues that looked older than their own events, or than what GitLab told before, by number.
#[derive(Default)]
pub(super) struct Lagging(Mutex<HashMap<u64, Look>>);

/// What such an issue looked like.
struct Look {
    updated_at: Timestamp,
    labels: Vec<String>,
    /// When it looked like that first.
    since: Timestamp,
    /// How often it did.
    times: u32,
}

impl Lagging {
    /// Notes that an issue does not look as it should; says for how long it has, and how often.
    fn look_again(&self, issue: &Issue, now: Timestamp) -> (SignedDuration, u32) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What lies ahead is of before our clock was set back.
        looks.retain(|_, look| look.since <= now && now.duration_since(look.since) < REMEMBERED_FOR);
        let first =
            || Look { updated_at: issue.updated_at, labels: issue.labels.clone(), since: now, times: 0 };
        let look = looks.entry(issue.iid).or_insert_with(first);
        if look.updated_at != issue.updated_at || look.labels != issue.labels {
            *look = first();
        }
        look.times += 1;
        (now.duration_since(look.since), look.times)
    }

    /// Notes that an issue looks as its events say.
    pub(super) fn forget(&self, iid: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&iid);
    }
}

impl Engine {
    /// Refuses to act on an issue that looks older than what GitLab says of it elsewhere, or said before, until it has
    /// looked the same for minutes.
    pub(super) fn refuse_a_lagging_copy(&self, issue: &Issue) -> Result<(), EngineError> {
        let (long, times) = self.inner.lagging.look_again(issue, self.inner.clock.now());
        if times < BELIEVED_AFTER || long < LAGS_AT_MOST {
            return Err(EngineError::Stale);
        }
        let iid = issue.iid;
        tracing::warn!(
            iid,
            "GitLab has shown issue {iid} like this for minutes, whatever it said of it before; it counts as it is"
        );
        Ok(())
    }

    /// Refuses for some seconds to act on an issue of which GitLab does not say yet who moved its labels: their decision would
    /// be nobody's, or be taken back.
    pub(super) fn refuse_lagging_events(&self, issue: &Issue) -> Result<(), EngineError> {
        let (long, _) = self.inner.lagging.look_again(issue, self.inner.clock.now());
        if long < EVENTS_LAG_AT_MOST { Err(EngineError::Stale) } else { Ok(()) }
    }

    /// Whether an issue shows a state label that no event tells of.
    pub(super) fn has_no_event_yet(
        &self,
        observed: &Observed,
        known: Option<State>,
        events: &[LabelEvent],
    ) -> bool {
        let mut on: BTreeSet<State> = known.into_iter().collect();
        for event in events {
            match (self.kind_of(event), event.action) {
                (Some(LabelKind::State(state)), LabelAction::Add) => drop(on.insert(state)),
                (Some(LabelKind::State(state)), LabelAction::Remove) => drop(on.remove(&state)),
                _ => {}
            }
        }
        !observed.states.is_subset(&on)
    }

    /// Whether an issue shows a label that its events say is off, and is no newer than they are: the copy that was read
    /// lags behind.
    pub(super) fn lags_behind(&self, issue: &Issue, observed: &Observed, events: &[LabelEvent]) -> bool {
        let mut last: BTreeMap<State, LabelAction> = BTreeMap::new();
        for event in events {
            if let Some(LabelKind::State(state)) = self.kind_of(event) {
                last.insert(state, event.action);
            }
        }
        let is_off = |state: &State| last.get(state) == Some(&LabelAction::Remove);
        observed.states.iter().any(is_off)
            && events.last().is_some_and(|last| issue.updated_at <= last.created_at)
    }
}
