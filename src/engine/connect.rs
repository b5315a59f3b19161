//! Meeting GitLab: who we are there, which project it is, what our labels are called.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{Engine, EngineError, Hint};
use crate::domain::State;
use crate::domain::decide::Observed;
use crate::gitlab::issues::IssueChange;
use crate::gitlab::labels::{Label, LabelKind, OurLabels};
use crate::gitlab::people::{AccessLevel, ProjectInfo, User};
use crate::gitlab::{GitlabError, Issue, Project};

/// How old our knowledge of the labels' names may be before one is put on: a stale name would make a second label.
const NAMES_ARE_FRESH: SignedDuration = SignedDuration::from_secs(2);
/// How long before its end a token is warned of, in days.
const TOKEN_WARNING_DAYS: i64 = 14;
/// How old it may be before a new issue waits for it.
const NAMES_ARE_OLD: SignedDuration = SignedDuration::from_secs(30);
/// How long a member's role is believed.
const ROLE_IS_FRESH: SignedDuration = SignedDuration::from_secs(60);

/// What we know once GitLab has answered.
pub struct Connected {
    /// The project.
    pub project: Project,
    /// Whose token ours is.
    pub us: User,
    /// The project's page.
    pub web_url: String,
    /// The host of GitLab's pages.
    pub host: Option<String>,
    /// The reviewers' numbers, in the order of the setting; those GitLab does not know are left out.
    pub reviewers: Vec<User>,
    ours: BTreeSet<u64>,
}

impl Connected {
    /// Whether this user is the service, now or earlier.
    pub fn is_us(&self, user: u64) -> bool {
        self.ours.contains(&user)
    }

    /// Whether the token is a reviewer's own: then their acts cannot be told from ours.
    pub fn is_a_reviewers_token(&self) -> bool {
        self.reviewers.iter().any(|reviewer| reviewer.id == self.us.id)
    }
}

impl Engine {
    /// GitLab, met already or met now.
    ///
    /// # Errors
    ///
    /// Where GitLab cannot be reached, refuses the token, or the project is not one to stage matches in.
    pub async fn connected(&self) -> Result<Arc<Connected>, EngineError> {
        if self.inner.reviewers_changed.swap(false, Ordering::Relaxed) {
            *self.inner.connected.write().await = None;
        }
        if let Some(connected) = self.inner.connected.read().await.as_ref() {
            return Ok(Arc::clone(connected));
        }
        let mut slot = self.inner.connected.write().await;
        if let Some(connected) = slot.as_ref() {
            return Ok(Arc::clone(connected));
        }
        let connected = self.note(self.connect().await)?;
        Ok(Arc::clone(slot.insert(Arc::new(connected))))
    }

    /// Where the pending matches are listed in GitLab.
    ///
    /// # Errors
    ///
    /// Where GitLab was never met and cannot be now.
    pub async fn list_url(&self) -> Result<String, EngineError> {
        let connected = self.connected().await?;
        let label = self.label_name(LabelKind::State(State::Pending));
        let query =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("label_name[]", &label).finish();
        Ok(format!("{}/-/issues?{query}", connected.web_url))
    }

    async fn connect(&self) -> Result<Connected, EngineError> {
        let us = self.inner.gitlab.current_user().await?;
        let (project, info) = self.fit_project(&us).await?;
        let policy = self.policy();
        let reviewers = self.find_reviewers(&project, &policy.reviewers.usernames).await?;
        let ours = policy.former_users.iter().copied().chain([us.id]).collect();
        let host = url::Url::parse(&info.web_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let connected = Connected { project, us, web_url: info.web_url, host, reviewers, ours };
        self.read_labels(&connected.project).await?;
        Ok(connected)
    }

    /// Looks again whether the project is still private: somebody may have changed that since we met it.
    pub(super) async fn is_still_fit(&self, connected: &Connected) -> Result<(), EngineError> {
        let fit = self.fit_project(&connected.us).await;
        if matches!(fit, Err(EngineError::Unfit(_))) {
            // Nothing is staged or written until it is met anew.
            *self.inner.connected.write().await = None;
        }
        fit.map(drop)
    }

    async fn fit_project(&self, us: &User) -> Result<(Project, ProjectInfo), EngineError> {
        let (project, info) = self.inner.gitlab.project(&self.inner.project).await.map_err(|error| {
            if error.is_gone() {
                let name = &self.inner.project;
                EngineError::Unfit(format!(
                    "GitLab knows no project {name}, or its token may not see it; check VORHOELLE_GITLAB_PROJECT and \
                     that {} is a member",
                    us.username
                ))
            } else {
                error.into()
            }
        })?;
        let readable = info.visibility.as_deref().is_some_and(|visibility| visibility != "private");
        if readable && !self.policy().allow_public_project {
            return Err(EngineError::Unfit(format!(
                "the project {} is not private: its issues would show personal data to strangers. Make it private, or \
                 set allow_public_project: true",
                info.path_with_namespace
            )));
        }
        Ok((project, info))
    }

    async fn find_reviewers(&self, project: &Project, names: &[String]) -> Result<Vec<User>, EngineError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let members = match project.members().await {
            Err(error) if error.status().is_some_and(|status| status.is_client_error()) => {
                tracing::error!(%error, "the members cannot be read: issues stay unassigned");
                return Ok(Vec::new());
            }
            other => other?,
        };
        let mut reviewers = Vec::new();
        for name in names {
            match members.iter().find(|member| member.username.eq_ignore_ascii_case(name)) {
                Some(member) => {
                    reviewers.push(User { id: member.id, username: member.username.clone(), bot: None });
                }
                None => tracing::warn!(reviewer = %name, "the reviewer {name} is no member of the project"),
            }
        }
        Ok(reviewers)
    }

    /// Reads what our labels are called now, and makes those that are missing.
    pub(super) async fn read_labels(&self, project: &Project) -> Result<(), EngineError> {
        let known: BTreeMap<LabelKind, u64> = self
            .inner
            .mirror
            .fact("labels")?
            .and_then(|json| serde_json::from_str::<Vec<(LabelKind, u64)>>(&json).ok())
            .unwrap_or_default()
            .into_iter()
            .collect();
        let mut labels = project.labels().await?;
        let mut ours = OurLabels::find(&labels, &known);
        self.remove_second_ones(project, &ours, &mut labels).await?;
        let missing = ours.missing();
        for kind in &missing {
            let label = project.create_label(*kind).await?;
            ours.insert(*kind, &label);
        }
        let ids: Vec<_> = ours.ids().into_iter().collect();
        let json = serde_json::to_string(&ids).map_err(|error| EngineError::Text(error.to_string()))?;
        self.inner.mirror.remember("labels", &json)?;
        let mut slot = self.inner.labels.write().unwrap_or_else(PoisonError::into_inner);
        slot.others = labels
            .into_iter()
            .map(|label| label.name)
            .filter(|name| ours.kind_of_name(name).is_none())
            .collect();
        slot.ours = ours;
        slot.read_at = Some(self.inner.clock.now());
        drop(slot);
        for kind in missing.into_iter().filter(|kind| known.contains_key(kind)) {
            self.was_deleted(kind)?;
        }
        Ok(())
    }

    /// A label of ours was deleted, and with it vanished from every issue without a trace: each gets it back.
    fn was_deleted(&self, kind: LabelKind) -> Result<(), EngineError> {
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
            (is_bare && ours.ids().get(&kind).is_some_and(|id| *id != label.id)).then_some(kind)
        };
        let second_ones: Vec<(LabelKind, Label)> =
            labels.iter().filter_map(|label| Some((is_second(label)?, label.clone()))).collect();
        for (kind, second) in second_ones {
            tracing::warn!(label = %second.name, "a second label {} was made while ours was renamed; it is taken back", second.name);
            for issue in project.issues_with_label(&second.name).await? {
                let change = IssueChange {
                    add_labels: vec![ours.name(kind).to_owned()],
                    remove_labels: vec![second.name.clone()],
                    ..IssueChange::default()
                };
                project.change_issue(issue.iid, &change).await?;
                self.hint(issue.iid, Hint::default());
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
        let fresh = |at: Timestamp| now.duration_since(at) < NAMES_ARE_FRESH;
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

    /// Whether this user may put `job-match` on an issue that they made by hand.
    pub(super) async fn may_adopt(&self, project: &Project, user: u64) -> Result<bool, EngineError> {
        let now = self.inner.clock.now();
        let roles = || self.inner.roles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((may, at)) = roles().get(&user).copied()
            && now.duration_since(at) < ROLE_IS_FRESH
        {
            return Ok(may);
        }
        let may = project.access_level(user).await?.is_some_and(|level| level >= AccessLevel::PLANNER);
        roles().insert(user, (may, now));
        Ok(may)
    }

    /// Asks GitLab when our token dies, and warns in time.
    pub(super) async fn check_token(&self) {
        let Ok(token) = self.inner.gitlab.token().await else { return };
        if !token.scopes.is_empty() && !token.scopes.iter().any(|scope| scope == "api") {
            tracing::error!(scopes = ?token.scopes, "the token has no scope `api`; make one that has");
        }
        self.status_mut().token_expires = token.expires_at;
        let Some(date) = token.expires_at else { return };
        let midnight = date.to_zoned_datetime(jiff::tz::TimeZone::UTC).map(|midnight| midnight.timestamp());
        let left = midnight.map_or(SignedDuration::ZERO, |end| end.duration_since(self.inner.clock.now()));
        let days = left.as_hours() / 24;
        if days <= TOKEN_WARNING_DAYS {
            tracing::warn!(%date, days, "the token expires on {date}; make a new one and set VORHOELLE_GITLAB_TOKEN");
        }
    }

    /// Notes for `/health` how GitLab fares.
    pub(super) fn note<T>(&self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        let error = match &result {
            // It answers, and says no to this one thing.
            Err(EngineError::Gitlab(GitlabError::Refused { status, .. }))
                if matches!(status.as_u16(), 400 | 404 | 409 | 422) =>
            {
                None
            }
            Err(error @ (EngineError::Gitlab(_) | EngineError::Unfit(_))) => Some(error.to_string()),
            _ => None,
        };
        self.status_mut().gitlab_error = error;
        result
    }
}
