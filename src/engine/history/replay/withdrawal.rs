//! `job-match` taken off and put on again.

use super::verdicts::steps_of;
use super::{MatchLabel, Replay};
use crate::domain::State;
use crate::domain::decide::{Act, Observed, What, decide};
use crate::domain::history::Step;
use crate::engine::acts::state_act;
use crate::gitlab::events::{LabelAction, LabelEvent, StateEvent};

/// Where a match stood when it was withdrawn.
pub(super) struct UntilWithdrawn {
    state: State,
    /// The steps there since its labels last showed one state.
    steps: Vec<Step>,
    /// The event that took `job-match` off.
    event: u64,
}

impl Replay<'_> {
    pub(in crate::engine::history) fn match_label(&mut self, event: &LabelEvent) {
        self.touched = true;
        let who = event.user.as_ref().map(|user| user.username.as_str());
        if event.action == LabelAction::Add && self.match_label != MatchLabel::On {
            self.put_back_at = Some(event.created_at);
        }
        self.match_label = match event.action {
            LabelAction::Add if self.match_label == MatchLabel::On => MatchLabel::On,
            LabelAction::Add => MatchLabel::PutBack,
            LabelAction::Remove if self.life.reviewers.may(who) => {
                if self.match_label == MatchLabel::On {
                    self.before_withdrawal = Some(self.until_withdrawn(event));
                }
                MatchLabel::Off
            }
            // It is taken back, and the match was never withdrawn.
            LabelAction::Remove if self.match_label == MatchLabel::On => MatchLabel::On,
            LabelAction::Remove => MatchLabel::Off,
        };
    }

    /// What was decided before a match was withdrawn are steps too.
    fn until_withdrawn(&mut self, withdrawn: &LabelEvent) -> UntilWithdrawn {
        self.needs_closings = true;
        let since = self.steps.last().map(|step| step.at).max(self.put_back_at);
        let is_news = |one: &&StateEvent| {
            one.created_at <= withdrawn.created_at && since.is_none_or(|since| one.created_at > since)
        };
        let closings: Vec<&StateEvent> = self.closings.unwrap_or_default().iter().filter(is_news).collect();
        let by_hand = closings.iter().filter_map(|one| state_act(self.life.connected, one));
        let mut acts: Vec<Act> = self.open_acts().into_iter().chain(by_hand).collect();
        acts.retain(|act| !matches!(act.what, What::Withdraw | What::PutBack));
        acts.sort_by_key(|act| act.at);
        let shown = Observed {
            is_match: true,
            states: self.on.iter().map(|(state, _)| *state).collect(),
            closed: closings.last().map_or(self.state.is_closed(), |last| last.closes()),
        };
        let verdict = decide(self.known(self.state, &acts), &shown, &acts, &self.life.reviewers);
        UntilWithdrawn { state: verdict.state, steps: steps_of(&acts, verdict), event: withdrawn.id }
    }

    /// Takes them, once it is put back with one label or where it never is.
    pub(super) fn take_steps_until_withdrawn(&mut self) {
        if let Some(before) = self.before_withdrawal.take() {
            self.state = before.state;
            self.steps.extend(before.steps);
            self.acts.retain(|(event, _)| *event >= before.event);
        }
    }
}
