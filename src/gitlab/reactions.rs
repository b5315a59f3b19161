//! Reactions (award emoji) on issues: our own are the receipts of delivered messages.
//!
//! They change neither `updated_at` nor do they fire an issue webhook, and GitLab keeps one of each name a user. A
//! reaction marks the reacting user's own ToDo as done.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::issues::or_default;
use super::people::User;
use super::{GitlabError, Project};

/// Somebody's reaction.
#[derive(Clone, Debug, Deserialize)]
pub struct Reaction {
    /// The emoji's name, without colons.
    pub name: String,
    /// Whose it is; nobody's where GitLab names none.
    #[serde(default, deserialize_with = "or_default")]
    pub user: User,
}

impl Project {
    /// Reacts to an issue, and tells the reaction as GitLab has it now. Where we did before, it answers 404 "has already been
    /// taken" and tells none: that is as good.
    ///
    /// # Errors
    ///
    /// [`GitlabError::is_gone`] where the issue is not there.
    pub async fn react(&self, iid: u64, name: &str) -> Result<Option<Reaction>, GitlabError> {
        let endpoint =
            self.plain(Method::POST, &format!("issues/{iid}/award_emoji")).json(json!({ "name": name }));
        match self.gitlab.get(&endpoint).await {
            Err(GitlabError::Refused { message, .. }) if message.contains("already been taken") => Ok(None),
            // It stands there, whatever the answer says.
            Err(GitlabError::Shape(_)) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Every reaction to an issue.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn reactions(&self, iid: u64) -> Result<Vec<Reaction>, GitlabError> {
        self.gitlab.all(&self.plain(Method::GET, &format!("issues/{iid}/award_emoji"))).await
    }

    /// The numbers of the issues that our own user gave this reaction: all of them, those with a label, or those among
    /// some numbers (at most 100).
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn iids_with_our_reaction(
        &self,
        name: &str,
        label: Option<&str>,
        among: &[u64],
    ) -> Result<Vec<u64>, GitlabError> {
        #[derive(Deserialize)]
        struct Row {
            iid: u64,
        }
        let mut endpoint = self
            .plain(Method::GET, "issues")
            .query("scope", "all")
            .query("state", "all")
            .query("my_reaction_emoji", name)
            .query("per_page", 100);
        if let Some(label) = label {
            endpoint = endpoint.query("labels", label);
        }
        for iid in among {
            endpoint = endpoint.query("iids[]", iid);
        }
        let rows: Vec<Row> = self.gitlab.all(&endpoint).await?;
        Ok(rows.into_iter().map(|row| row.iid).collect())
    }
}
