//! Issues of an earlier bot that nobody told us of: until its id is listed, nothing is written.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::{Connected, Engine, EngineError};
use crate::gitlab::people::User;
use crate::gitlab::{GitlabError, Issue, issue_text};
use crate::mirror::Fact;

impl Engine {
    /// Whether an issue that is not ours holds a block of ours because an earlier bot made it. A person's forged block
    /// is plain text.
    pub(super) async fn is_by_an_earlier_bot(
        &self,
        connected: &Connected,
        issue: &Issue,
    ) -> Result<bool, EngineError> {
        let has_a_block = issue_text::read_back(&issue.description).is_some()
            || issue_text::read_erased(&issue.description).is_some();
        if connected.is_us(issue.author.id) || !has_a_block {
            return Ok(false);
        }
        if !self.is_bot(&issue.author).await? {
            return Ok(false);
        }
        self.note_unlisted_bot(&issue.author);
        Ok(true)
    }

    /// Who made issues with this disk before: where that was a bot that nobody has listed, they are nobody's, as they would
    /// be after a lost disk.
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

    /// Remembers who has made an issue with this disk.
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
            Ok(bot) => bot,
            // A deleted bot is not shown any more; its name still tells.
            Err(GitlabError::Refused { .. }) => {
                return Ok(user.username.starts_with("project_") && user.username.contains("_bot"));
            }
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
