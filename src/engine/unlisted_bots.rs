//! Issues of an earlier bot that nobody told us of: until its id is listed, nothing is written.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::{Connected, Engine, EngineError};
use crate::gitlab::people::User;
use crate::gitlab::{GitlabError, Issue, issue_text};
use crate::mirror::Fact;

impl Engine {
    /// Whether an issue that is not ours holds a block of ours because an earlier bot made it, who is noted: nothing is
    /// written from then on. A person's forged block is plain text.
    pub(super) async fn note_if_by_an_earlier_bot(
        &self,
        connected: &Connected,
        issue: &Issue,
    ) -> Result<bool, EngineError> {
        let has_a_block = || {
            issue_text::read_back(&issue.description).is_some()
                || issue_text::read_erased(&issue.description).is_some()
        };
        if connected.is_us(issue.author.id) || !has_a_block() {
            return Ok(false);
        }
        // One is asked after once, however many issues it has made.
        if !self.unlisted_bots().contains(&issue.author.id) && !self.is_bot(&issue.author).await? {
            return Ok(false);
        }
        self.note_unlisted_bot(&issue.author);
        Ok(true)
    }

    /// Whose issues this disk knows as ours: where that was a bot that nobody lists now, they are nobody's, as they would be
    /// after a lost disk.
    pub(super) async fn note_earlier_users(&self, us: &User) -> Result<(), EngineError> {
        let former = &self.policy().former_users;
        for (id, username) in self.users()?.into_iter().filter(|(id, _)| *id != us.id && !former.contains(id))
        {
            let user = User { id, username, bot: None };
            if self.is_bot(&user).await? {
                self.note_unlisted_bot(&user);
            }
        }
        Ok(())
    }

    /// Remembers whose issues this disk has staged or taken in.
    pub(super) fn remember_user(&self, us: &User) -> Result<(), EngineError> {
        let mut users = self.users()?;
        if users.insert(us.id, us.username.clone()).is_none() {
            let text = serde_json::to_string(&users).map_err(|error| EngineError::Text(error.to_string()))?;
            self.inner.mirror.remember(Fact::Users, &text)?;
        }
        Ok(())
    }

    fn users(&self) -> Result<BTreeMap<u64, String>, EngineError> {
        let text = self.inner.mirror.fact(Fact::Users)?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    fn note_unlisted_bot(&self, user: &User) {
        let mut unlisted = self.inner.unlisted_bots.lock().unwrap_or_else(PoisonError::into_inner);
        if unlisted.insert(user.id, user.username.clone()).is_none() {
            let User { id, username, .. } = user;
            tracing::error!(
                user = id,
                "issues of an earlier bot ({username}) were found; nothing is written until VORHOELLE_FORMER_USERS \
                 lists {id}"
            );
        }
    }

    async fn is_bot(&self, user: &User) -> Result<bool, EngineError> {
        let known = |id| self.inner.bots.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied();
        if let Some(bot) = user.bot.or_else(|| known(&user.id)) {
            return Ok(bot);
        }
        let bot = match self.inner.gitlab.is_bot(user.id).await {
            Ok(bot) => bot.unwrap_or_else(|| is_a_bots_name(&user.username)),
            // A deleted bot is not shown any more; its name still tells.
            Err(GitlabError::Refused { .. }) => return Ok(is_a_bots_name(&user.username)),
            Err(error) => return Err(error.into()),
        };
        self.inner.bots.lock().unwrap_or_else(PoisonError::into_inner).insert(user.id, bot);
        Ok(bot)
    }

    /// Refuses to write while issues of an unlisted earlier bot are there.
    pub(super) fn may_write(&self) -> Result<(), EngineError> {
        let unlisted = self.unlisted_bots();
        if unlisted.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = unlisted.iter().map(ToString::to_string).collect();
        Err(EngineError::Unfit(format!(
            "issues of an earlier bot user were found; list its id in VORHOELLE_FORMER_USERS ({}) so that they count as \
             the service's own",
            ids.join(",")
        )))
    }

    /// Whether this process sets right what it finds: it follows the project, and nothing forbids it to write.
    pub(super) fn may_mend(&self) -> bool {
        self.may_follow().is_ok() && self.may_write().is_ok()
    }

    /// The ids of earlier bots that are not listed.
    pub fn unlisted_bots(&self) -> Vec<u64> {
        self.inner.unlisted_bots.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

/// Whether GitLab gives such names to the users of project and group tokens, and to service accounts
/// (its documentation of access tokens and of service accounts).
fn is_a_bots_name(name: &str) -> bool {
    let of_a_token = name.starts_with("project_") || name.starts_with("group_");
    (of_a_token && name.contains("_bot")) || name.starts_with("service_account_")
}

#[cfg(test)]
mod tests {
    use super::is_a_bots_name;

    #[test]
    fn bots_are_told_by_the_names_that_gitlab_gives_them() {
        for bot in ["project_4711_bot_ab12", "group_9_bot", "service_account_group_9_cd34"] {
            assert!(is_a_bots_name(bot), "{bot}");
        }
        for person in ["anna", "robot", "project_manager", "my_group_bot"] {
            assert!(!is_a_bots_name(person), "{person}");
        }
    }
}
