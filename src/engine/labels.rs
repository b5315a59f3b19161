//! What our labels are called: they may be renamed or deleted in GitLab at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{Connected, Engine, EngineError, Hint};
use crate::domain::State;
use crate::domain::decide::Observed;
use crate::gitlab::events::LabelAction;
use crate::gitlab::issues::IssueChange;
use crate::gitlab::labels::{Label, LabelKind, OurLabels};
use crate::gitlab::{Issue, Project};
use crate::mirror::Fact;

/// How old our knowledge of the labels' names may be before one is put on: a stale name would make a second label.
const NAMES_ARE_FRESH: SignedDuration = SignedDuration::from_secs(2);
/// How old it may be before a new issue waits for it.
const NAMES_ARE_OLD: SignedDuration = SignedDuration::from_secs(30);

/// The number of each label that was ours.
type KnownLabels = BTreeMap<LabelKind, u64>;

impl Engine {
    /// Reads what our labels are called now. Who follows the project makes those that are missing, and takes back second
    /// ones; a process that only looks leaves both to it.
    pub(super) async fn read_labels(&self, project: &Project) -> Result<(), EngineError> {
        let known = self.known_labels()?;
        let mut labels = project.labels().await?;
        let mut ours = OurLabels::find(&labels, &known);
        let may_mend = self.may_mend();
        let missing = ours.missing();
        let remade = remade(&ours, &known);
        let mut unmarked = Vec::new();
        if may_mend {
            self.remove_second_ones(project, &ours, &mut labels).await?;
            unmarked = newly_met_without_mark(&ours, &labels, &known);
            for kind in &missing {
                let label = project.create_label(*kind).await?;
                ours.insert(*kind, &label);
            }
        }
        self.remember_labels(&ours, &known, may_mend)?;
        self.use_labels(ours, labels);
        if may_mend {
            self.note_if_match_label_was_lost(&missing)?;
            let deleted = missing.into_iter().filter(|kind| known.contains_key(kind));
            for kind in deleted.chain(remade.iter().copied()) {
                self.restore_deleted(kind)?;
            }
            self.dress(project, &remade).await;
            unmarked.retain(|(kind, _)| !remade.contains(kind));
            mark(project, unmarked).await;
        }
        Ok(())
    }

    /// Which labels were ours when they were read last.
    fn known_labels(&self) -> Result<KnownLabels, EngineError> {
        let json = self.inner.mirror.fact(Fact::Labels)?;
        let pairs = json.and_then(|json| serde_json::from_str::<Vec<(LabelKind, u64)>>(&json).ok());
        Ok(pairs.unwrap_or_default().into_iter().collect())
    }

    /// Remembers which labels are ours. What is not mended yet stays known as it was, and so does what a command has mended
    /// beside the service: whoever puts it on all issues again says so.
    fn remember_labels(
        &self,
        ours: &OurLabels,
        known: &KnownLabels,
        may_mend: bool,
    ) -> Result<(), EngineError> {
        let may_mend = may_mend && !self.inner.is_a_command.load(Ordering::Relaxed);
        let mut ids = known.clone();
        for (kind, id) in ours.ids() {
            if may_mend {
                ids.insert(kind, id);
            } else {
                ids.entry(kind).or_insert(id);
            }
        }
        let ids: Vec<_> = ids.into_iter().collect();
        let json = serde_json::to_string(&ids).map_err(|error| EngineError::Text(error.to_string()))?;
        Ok(self.inner.mirror.remember(Fact::Labels, &json)?)
    }

    /// From here on the labels are called so.
    fn use_labels(&self, ours: OurLabels, all: Vec<Label>) {
        let mut slot = self.inner.labels.write().unwrap_or_else(PoisonError::into_inner);
        let names = all.into_iter().map(|label| label.name);
        slot.others = names.filter(|name| ours.kind_of_name(name).is_none()).collect();
        slot.ours = ours;
        // Before one is put on that is missing, they are read again.
        slot.read_at = Some(self.inner.clock.now()).filter(|_| slot.ours.missing().is_empty());
    }

    /// Where `job-match` was missing and the mirror knows of no match, its issues are looked for once all bots of the project
    /// are known; a project that had none of our labels is a new one.
    fn note_if_match_label_was_lost(&self, missing: &[LabelKind]) -> Result<(), EngineError> {
        let is_fresh_project = missing.len() == LabelKind::ALL.len();
        let knew_none = self.inner.mirror.iids_labelled(None)?.is_empty();
        if missing.contains(&LabelKind::Match) && knew_none && !is_fresh_project {
            self.inner.mirror.remember(Fact::WithoutMatchLabel, "")?;
        }
        Ok(())
    }

    /// Gives labels that GitLab made again for a new issue our colour and mark.
    async fn dress(&self, project: &Project, remade: &[LabelKind]) {
        for kind in remade {
            let id = self.names().ids().get(kind).copied().unwrap_or_default();
            if let Err(error) = project.dress_label(id, *kind).await {
                tracing::warn!(label = kind.name(), %error, "the label {} has not got its mark back", kind.name());
            }
        }
    }

    /// Where `job-match` was deleted and the disk is lost, our issues carry their state labels still, by which they are
    /// found. One that somebody took it off before is not put on again.
    pub(super) async fn find_without_match_label(&self, connected: &Connected) -> Result<(), EngineError> {
        let may = self.may_mend();
        if !may || self.inner.mirror.fact(Fact::WithoutMatchLabel)?.is_none() {
            return Ok(());
        }
        let (names, project) = (self.names(), &connected.project);
        let mut is_done = true;
        for state in State::ALL {
            for issue in project.issues_with_label(names.name(LabelKind::State(state))).await? {
                if self.observed(&issue).is_match || self.staged_as(connected, &issue).is_none() {
                    continue;
                }
                if let Err(error) = self.put_match_label_back(connected, &issue).await {
                    self.looks_again(issue.iid, error)?;
                    is_done = false;
                }
            }
        }
        self.status_mut().label_made_again = Some(LabelKind::Match.name());
        if is_done {
            self.inner.mirror.forget(Fact::WithoutMatchLabel)?;
        }
        Ok(())
    }

    async fn put_match_label_back(&self, connected: &Connected, issue: &Issue) -> Result<(), EngineError> {
        // GitLab does not say any more which deleted label an event was about.
        let events = connected.project.label_events(issue.iid).await?;
        let last = events.iter().rfind(|event| event.label.is_none());
        if last.is_none_or(|last| last.action == LabelAction::Add) {
            let label = self.label_name(LabelKind::Match);
            let change = IssueChange { add_labels: vec![label], ..IssueChange::default() };
            let issue = connected.project.change_issue(issue.iid, &change).await?;
            tracing::warn!(iid = issue.iid, "issue {} got its label back", issue.iid);
            self.meet_later(connected, &issue);
        }
        Ok(())
    }

    /// A label of ours was deleted, and with it vanished from every issue without a trace: each gets it back.
    fn restore_deleted(&self, kind: LabelKind) -> Result<(), EngineError> {
        tracing::warn!(label = kind.name(), "the label {} was deleted; it was made again", kind.name());
        self.status_mut().label_made_again = Some(kind.name());
        let iids = match kind {
            LabelKind::Match => self.inner.mirror.iids_labelled(None)?,
            LabelKind::State(state) => self.inner.mirror.iids_labelled(Some(state))?,
            // Looking at it puts it back.
            LabelKind::Settings => self.known_settings_issue().into_iter().collect(),
        };
        for iid in iids {
            self.hint(iid, Hint::default());
        }
        Ok(())
    }

    /// A label of ours that was renamed at the very moment of a write may have been made again by GitLab under its old
    /// name: the issues that carry the second one get ours, and it goes.
    async fn remove_second_ones(
        &self,
        project: &Project,
        ours: &OurLabels,
        labels: &mut Vec<Label>,
    ) -> Result<(), EngineError> {
        let is_second = |label: &Label| {
            let kind = LabelKind::ALL.into_iter().find(|kind| kind.name() == label.name)?;
            let is_bare = label.description.as_deref().unwrap_or_default().is_empty();
            let is_another = ours.ids().get(&kind).is_some_and(|id| *id != label.id);
            // A group's label may have the same name as ours: issues do not say which of the two they carry.
            let has_the_name_of_ours = label.name == ours.name(kind);
            (is_bare && is_another && !has_the_name_of_ours).then_some(kind)
        };
        let second_ones: Vec<(LabelKind, Label)> =
            labels.iter().filter_map(|label| Some((is_second(label)?, label.clone()))).collect();
        for (kind, second) in second_ones {
            tracing::warn!(label = %second.name, "a second label {} was made while ours was renamed; it is taken back", second.name);
            let mut is_done = true;
            for issue in project.issues_with_label(&second.name).await? {
                let change = IssueChange {
                    add_labels: vec![ours.name(kind).to_owned()],
                    remove_labels: vec![second.name.clone()],
                    ..IssueChange::default()
                };
                match project.change_issue(issue.iid, &change).await {
                    Ok(_) => self.hint(issue.iid, Hint::default()),
                    Err(error) => {
                        self.looks_again(issue.iid, error.into())?;
                        is_done = false;
                    }
                }
            }
            if !is_done {
                continue;
            }
            labels.retain(|label| label.id != second.id);
            // A group's label, or a locked one, is not for us to delete.
            if let Err(error) = project.delete_label(second.id).await {
                tracing::warn!(label = %second.name, %error, "the second label {} cannot be deleted", second.name);
            }
        }
        Ok(())
    }

    /// Our labels' names, read again where they are older than a moment.
    pub(super) async fn fresh_names(&self, project: &Project) -> Result<OurLabels, EngineError> {
        let now = self.inner.clock.now();
        let fresh = |at: Timestamp| at <= now && now.duration_since(at) < NAMES_ARE_FRESH;
        let read_at = self.inner.labels.read().unwrap_or_else(PoisonError::into_inner).read_at;
        if !read_at.is_some_and(fresh) {
            self.read_labels(project).await?;
        }
        Ok(self.inner.labels.read().unwrap_or_else(PoisonError::into_inner).ours.clone())
    }

    /// Our labels' names for a new issue. Staging does not wait for them while they are only somewhat old: they are read
    /// again beside it, and where a rename came in between, the second label is taken back.
    pub(super) async fn recent_names(&self, connected: &Arc<Connected>) -> Result<OurLabels, EngineError> {
        let now = self.inner.clock.now();
        let read_at = self.inner.labels.read().unwrap_or_else(PoisonError::into_inner).read_at;
        let age = read_at.map_or(SignedDuration::MAX, |at| now.duration_since(at));
        if age >= NAMES_ARE_OLD {
            return self.fresh_names(&connected.project).await;
        }
        if age >= NAMES_ARE_FRESH && !self.inner.reading_names.swap(true, Ordering::Relaxed) {
            let (engine, connected) = (self.clone(), Arc::clone(connected));
            tokio::spawn(async move {
                if let Err(error) = engine.read_labels(&connected.project).await {
                    tracing::debug!(%error, "the labels could not be read beside staging");
                }
                engine.inner.reading_names.store(false, Ordering::Relaxed);
            });
        }
        Ok(self.names())
    }

    /// Which of our labels a label is, by its number.
    pub fn label_kind(&self, label: u64) -> Option<LabelKind> {
        self.names().kind_of_id(label)
    }

    /// Our labels' names as we know them.
    pub(super) fn names(&self) -> OurLabels {
        self.inner.labels.read().unwrap_or_else(PoisonError::into_inner).ours.clone()
    }

    /// What an issue shows. A label name that we have never seen may be one of ours, renamed: then names are read.
    pub(super) async fn observe(&self, project: &Project, issue: &Issue) -> Result<Observed, EngineError> {
        let unknown = {
            let labels = self.inner.labels.read().unwrap_or_else(PoisonError::into_inner);
            let is_known =
                |name: &String| labels.ours.kind_of_name(name).is_some() || labels.others.contains(name);
            !issue.labels.iter().all(is_known)
        };
        if unknown {
            self.read_labels(project).await?;
        }
        Ok(self.observed(issue))
    }

    /// What an issue shows, by the names that we know.
    pub(super) fn observed(&self, issue: &Issue) -> Observed {
        let labels = self.inner.labels.read().unwrap_or_else(PoisonError::into_inner);
        let kinds: Vec<LabelKind> =
            issue.labels.iter().filter_map(|name| labels.ours.kind_of_name(name)).collect();
        Observed {
            is_match: kinds.contains(&LabelKind::Match),
            states: kinds
                .iter()
                .filter_map(|kind| if let LabelKind::State(state) = kind { Some(*state) } else { None })
                .collect::<BTreeSet<State>>(),
            closed: issue.state == crate::gitlab::issues::OpenOrClosed::Closed,
        }
    }
}

/// The labels that GitLab made again: it does so where a new issue names one that was deleted just before.
fn remade(ours: &OurLabels, known: &KnownLabels) -> Vec<LabelKind> {
    let is_another = |(kind, id): &(LabelKind, u64)| known.get(kind).is_some_and(|known| known != id);
    ours.ids().into_iter().filter(is_another).map(|(kind, _)| kind).collect()
}

/// Those of our labels that are met for the first time and do not have our mark.
fn newly_met_without_mark(
    ours: &OurLabels,
    labels: &[Label],
    known: &KnownLabels,
) -> Vec<(LabelKind, Label)> {
    let is_new = |kind: LabelKind, label: &Label| known.get(&kind) != Some(&label.id);
    let met = labels.iter().filter_map(|label| Some((ours.kind_of_id(label.id)?, label)));
    let is_the_groups = |label: &Label| label.is_project_label == Some(false);
    met.filter(|(kind, label)| is_new(*kind, label) && !kind.is_marked(label) && !is_the_groups(label))
        .map(|(kind, label)| (kind, label.clone()))
        .collect()
}

/// Gives labels that were there before us our mark, after what their description says: so they are ours after a rename and
/// a lost disk too. A group's label is not for us to change.
async fn mark(project: &Project, unmarked: Vec<(LabelKind, Label)>) {
    for (kind, label) in unmarked {
        let description = kind.marked(label.description.as_deref().unwrap_or_default());
        if let Err(error) = project.describe_label(label.id, &description).await {
            tracing::warn!(label = %label.name, %error, "the label {} has not got our mark", label.name);
        }
    }
}
