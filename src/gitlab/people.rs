//! People, their roles, our own token and project.

use http::Method;
use jiff::civil::Date;
use serde::Deserialize;

use super::client::Plain;
use super::{Gitlab, GitlabError, Project};

/// A person or a bot. The default is nobody: no user has the number 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct User {
    /// Their number; a username can change.
    pub id: u64,
    /// Their username.
    pub username: String,
    /// Whether GitLab calls them a bot; only told of the token's own user and in `GET /users/:id`.
    #[serde(default)]
    pub bot: Option<bool>,
}

/// A role in a project, as GitLab numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct AccessLevel(pub u64);

impl AccessLevel {
    /// Makes issues and labels them at creation only.
    pub const GUEST: Self = Self(10);
    /// Labels, assigns, closes; may delete issues.
    pub const PLANNER: Self = Self(15);
    /// Labels, assigns, closes: all that the service's everyday work needs.
    pub const REPORTER: Self = Self(20);
    /// Manages webhooks, edits others' comments.
    pub const MAINTAINER: Self = Self(40);
}

/// A member of the project, inherited ones included.
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// Their number.
    pub id: u64,
    /// Their username.
    pub username: String,
    /// Their role.
    pub access_level: AccessLevel,
}

/// The project as GitLab tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct ProjectInfo {
    /// Its number.
    pub id: u64,
    /// Its path, groups included.
    pub path_with_namespace: String,
    /// `private`, `internal` or `public`; left out for those who may not know.
    #[serde(default)]
    pub visibility: Option<String>,
    /// Its page.
    pub web_url: String,
}

/// Our own token.
#[derive(Clone, Debug, Deserialize)]
pub struct Token {
    /// What it may do.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The day at whose start (UTC) it dies.
    #[serde(default)]
    pub expires_at: Option<Date>,
}

/// The instance's version.
#[derive(Clone, Debug, Deserialize)]
pub struct Version {
    /// Such as `19.4.1-ee`.
    pub version: String,
}

impl Version {
    /// The first that signs its deliveries.
    const FIRST_THAT_SIGNS: u64 = 19;

    /// Whether it can sign its deliveries; not where its number cannot be told.
    pub fn signs(&self) -> bool {
        let major = self.version.split('.').next().and_then(|number| number.parse::<u64>().ok());
        major.is_some_and(|major| major >= Self::FIRST_THAT_SIGNS)
    }
}

impl Gitlab {
    /// Whose token ours is.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn current_user(&self) -> Result<User, GitlabError> {
        self.get(&gitlab::api::users::CurrentUser::builder().build().map_err(|_| NOT_BUILT)?).await
    }

    /// What GitLab says of our token.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn token(&self) -> Result<Token, GitlabError> {
        self.get(&Plain::new(Method::GET, "personal_access_tokens/self")).await
    }

    /// Which GitLab this is.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn version(&self) -> Result<Version, GitlabError> {
        self.get(&Plain::new(Method::GET, "version")).await
    }

    /// The project of this number or path.
    ///
    /// # Errors
    ///
    /// [`GitlabError::is_gone`] where it is not there, or not for us to see.
    pub async fn project(&self, id_or_path: &str) -> Result<(Project, ProjectInfo), GitlabError> {
        let mut path = String::from("projects/");
        path.extend(url::form_urlencoded::byte_serialize(id_or_path.as_bytes()));
        let info: ProjectInfo = self.get(&Plain::new(Method::GET, path)).await?;
        Ok((Project { gitlab: self.clone(), id: info.id }, info))
    }

    /// The e-mail address that a user shows to everybody; none where they show none.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn public_email(&self, user: u64) -> Result<Option<String>, GitlabError> {
        #[derive(Deserialize)]
        struct Shown {
            #[serde(default)]
            public_email: Option<String>,
        }
        let shown: Shown = self.get(&Plain::new(Method::GET, format!("users/{user}"))).await?;
        Ok(shown.public_email.filter(|email| !email.is_empty()))
    }

    /// Whether GitLab calls this user a bot; none where it says nothing of that.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn is_bot(&self, user: u64) -> Result<Option<bool>, GitlabError> {
        let user: User = self.get(&Plain::new(Method::GET, format!("users/{user}"))).await?;
        Ok(user.bot)
    }
}

const NOT_BUILT: GitlabError = GitlabError::NotSent("a required field was not given");

impl Project {
    /// Everyone with a role in the project, inherited ones included.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn members(&self) -> Result<Vec<Member>, GitlabError> {
        self.gitlab.all(&self.plain(Method::GET, "members/all")).await
    }

    /// The role of one user; none where they have no role.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn access_level(&self, user: u64) -> Result<Option<AccessLevel>, GitlabError> {
        match self.gitlab.get::<Member>(&self.plain(Method::GET, &format!("members/all/{user}"))).await {
            Ok(member) => Ok(Some(member.access_level)),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
