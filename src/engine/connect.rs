//! Meeting GitLab: who we are there, which project it is, what our labels are called.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use jiff::SignedDuration;

use super::{Engine, EngineError};
use crate::domain::State;
use crate::gitlab::labels::LabelKind;
use crate::gitlab::notes::Note;
use crate::gitlab::people::{AccessLevel, ProjectInfo, User};
use crate::gitlab::{GitlabError, Project};

/// How long before its end a token is warned of, in days.
const TOKEN_WARNING_DAYS: i64 = 14;
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
    /// The reviewers who are members of the project, in the order of the setting; those GitLab does not know are left out.
    pub reviewers: Vec<User>,
    ours: BTreeSet<u64>,
}

impl Connected {
    /// Whether this user is the service, now or earlier.
    pub fn is_us(&self, user: u64) -> bool {
        self.ours.contains(&user)
    }

    /// Whether a comment is one that our token may edit: an earlier bot's is not.
    pub fn may_edit(&self, note: &Note) -> bool {
        note.author.id == self.us.id
    }

    /// Whether whoever did something is the service; of nobody it is not known.
    pub fn is_ours(&self, user: Option<&User>) -> bool {
        user.is_some_and(|user| self.is_us(user.id))
    }

    /// Our comments on an issue, oldest first.
    ///
    /// # Errors
    ///
    /// Where GitLab did not do its part.
    pub async fn our_notes(&self, iid: u64) -> Result<Vec<Note>, GitlabError> {
        let mut notes = self.project.notes(iid).await?;
        notes.retain(|note| self.is_us(note.author.id));
        Ok(notes)
    }

    /// Writes a comment. Where the answer got lost it is looked for by its `mark`, which no other comment holds.
    ///
    /// # Errors
    ///
    /// Where GitLab did not do its part; the comment does not stand there then, as far as GitLab says.
    pub async fn comment_marked(&self, iid: u64, text: &str, mark: &str) -> Result<Note, GitlabError> {
        match self.project.comment(iid, text).await {
            Err(error) if error.is_unclear() => {
                let mut ours = self.our_notes(iid).await?.into_iter();
                ours.find(|note| note.body.contains(mark)).ok_or(error)
            }
            other => other,
        }
    }

    /// Writes a comment where GitLab takes one: who may label may not always comment, as where a discussion is locked. Says
    /// whether it did.
    ///
    /// # Errors
    ///
    /// Where GitLab did not do its part otherwise; whether it stands there is unclear then.
    pub async fn comment_if_taken(&self, iid: u64, text: &str) -> Result<bool, GitlabError> {
        match self.project.comment(iid, text).await {
            Err(error) if error.refuses_just_this() => {
                tracing::warn!(iid, %error, "GitLab takes no comment on issue {iid}");
                Ok(false)
            }
            other => other.map(|_| true),
        }
    }

    /// Does something to an issue without clearing a reviewer's ToDo: where the token is their own, GitLab takes it as if they
    /// had acted, and what was pending is put back, as far as that can be done.
    pub async fn keeping_todo<T>(&self, iid: u64, act: impl Future<Output = T>) -> T {
        let ours = self.is_a_reviewers_token();
        let was_pending = ours && self.project.has_pending_todo(iid).await.unwrap_or(false);
        let done = act.await;
        if was_pending && let Err(error) = self.project.make_todo(iid).await {
            tracing::warn!(iid, %error, "the reviewer's own ToDo could not be put back");
        }
        done
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
        let us = self.inner.gitlab.current_user().await.map_err(|error| match error.is_gone() {
            // Whoever may ask for nothing else may ask for this.
            true => EngineError::Unfit(format!(
                "there is no API of a GitLab at this address ({error}); check VORHOELLE_GITLAB_URL"
            )),
            false => error.into(),
        })?;
        let (project, info) = self.fit_project(&self.inner.project, &us).await?;
        self.inner.mirror.note_names(&[&info.id.to_string(), &info.path_with_namespace])?;
        self.note_earlier_users(&us).await?;
        let policy = self.policy();
        let reviewers = self.find_reviewers(&project, &policy.reviewers.usernames).await?;
        let ours = policy.former_users.iter().copied().chain([us.id]).collect();
        let host = url::Url::parse(&info.web_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let connected = Connected { project, us, web_url: info.web_url, host, reviewers, ours };
        self.read_labels(&connected.project).await?;
        Ok(connected)
    }

    /// Looks again whether the project is still private: somebody may have changed that since we met it.
    pub(super) async fn check_fitness(&self, connected: &Connected) -> Result<(), EngineError> {
        // By its number, which stays when it is renamed or moved.
        let fit = self.fit_project(&connected.project.id.to_string(), &connected.us).await;
        if matches!(fit, Err(EngineError::Unfit(_))) {
            // Nothing is staged or written until it is met anew.
            *self.inner.connected.write().await = None;
        }
        // What it is called now, so that a setting with its new path leads to this mirror.
        let (_, info) = fit?;
        self.inner.mirror.note_names(&[&info.id.to_string(), &info.path_with_namespace])?;
        let names = self.policy().reviewers.usernames.clone();
        if connected.reviewers.len() < names.len() {
            match self.find_reviewers(&connected.project, &names).await {
                // Somebody named has become a member since.
                Ok(found) if found.len() > connected.reviewers.len() => {
                    *self.inner.connected.write().await = None;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "whether a reviewer has joined could not be asked"),
            }
        }
        Ok(())
    }

    async fn fit_project(&self, id_or_path: &str, us: &User) -> Result<(Project, ProjectInfo), EngineError> {
        let name = &self.inner.project;
        let (project, info) = self.inner.gitlab.project(id_or_path).await.map_err(|error| {
            if error.status().is_some_and(|status| status.is_redirection()) {
                EngineError::Unfit(format!(
                    "GitLab has no project {name} there any more ({error}); where it was renamed or moved, set \
                     VORHOELLE_GITLAB_PROJECT to its number, else check VORHOELLE_GITLAB_URL"
                ))
            } else if error.is_gone() {
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

    /// Whether this user may put `job-match` on an issue that they made by hand.
    pub(super) async fn may_adopt(&self, project: &Project, user: u64) -> Result<bool, EngineError> {
        let now = self.inner.clock.now();
        let roles = || self.inner.roles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((may, at)) = roles().get(&user).copied()
            && now.duration_since(at).abs() < ROLE_IS_FRESH
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

    /// Notes for `/health` how GitLab fares, by how something ended that it was asked for.
    pub(super) fn note<T>(&self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        let error = match &result {
            Ok(_) => None,
            // It answers, and says no to this one thing.
            Err(EngineError::Gitlab(GitlabError::Refused { status, .. }))
                if matches!(status.as_u16(), 400 | 404 | 409 | 422) =>
            {
                None
            }
            // Of what is our own doing nobody learns how GitLab fares.
            Err(EngineError::Gitlab(GitlabError::NoRoom { .. } | GitlabError::NotSent(_))) => return result,
            Err(error @ (EngineError::Gitlab(_) | EngineError::Unfit(_))) => Some(error.to_string()),
            Err(_) => return result,
        };
        self.status_mut().gitlab_error = error;
        result
    }
}
