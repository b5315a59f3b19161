//! Issues: read one, list what changed, create, change.

use gitlab::api::projects::issues::Issue as ReadIssue;
use http::Method;
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::client::Plain;
use super::people::User;
use super::{GitlabError, Project};

/// An issue as GitLab tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Issue {
    /// Unique in the whole instance; a moved issue gets a new one.
    pub id: u64,
    /// Unique in the project: what people see.
    pub iid: u64,
    /// Its title.
    pub title: String,
    /// Its text.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// `opened` or `closed`.
    pub state: OpenOrClosed,
    /// Names of its labels, as they are called now.
    #[serde(default, deserialize_with = "label_names")]
    pub labels: Vec<String>,
    /// Who made it; nobody where GitLab names none.
    #[serde(default, deserialize_with = "or_default")]
    pub author: User,
    /// Who is assigned.
    #[serde(default, deserialize_with = "those_there")]
    pub assignees: Vec<User>,
    /// Who closed it, while it is closed.
    #[serde(default)]
    pub closed_by: Option<User>,
    /// Hidden from guests.
    #[serde(default, deserialize_with = "or_default")]
    pub confidential: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything but reactions last changed.
    pub updated_at: Timestamp,
    /// When it was closed, while it is closed.
    #[serde(default)]
    pub closed_at: Option<Timestamp>,
    /// The issue's global id in the project that it was moved to.
    #[serde(default)]
    pub moved_to_id: Option<u64>,
    /// How many comments people and the service wrote.
    #[serde(default, deserialize_with = "or_default")]
    pub user_notes_count: u64,
    /// Its page.
    pub web_url: String,
}

/// Whether an issue is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpenOrClosed {
    /// Open.
    Opened,
    /// Closed.
    Closed,
}

/// A new issue.
#[derive(Clone, Debug)]
pub struct NewIssue {
    /// At most 255 characters.
    pub title: String,
    /// At most a mebibyte.
    pub description: String,
    /// Names of labels that are there.
    pub labels: Vec<String>,
    /// Who is assigned.
    pub assignee: Option<u64>,
    /// The last day to apply.
    pub due_date: Option<Date>,
}

/// What is to change on an issue, in one write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssueChange {
    /// Names of labels to put on.
    pub add_labels: Vec<String>,
    /// Names of labels to take off.
    pub remove_labels: Vec<String>,
    /// To close or to reopen.
    pub close: Option<bool>,
    /// Who shall be assigned.
    pub assignee: Option<u64>,
    /// Whether it shall be hidden from guests.
    pub confidential: Option<bool>,
    /// Another title and another text.
    pub text: Option<(String, String)>,
}

impl IssueChange {
    /// Whether there is nothing to do; GitLab would fire a webhook for it all the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an issue shows its labels and its assignee: GitLab leaves out what it does not take, and says nothing.
    pub fn is_shown_by(&self, issue: &Issue) -> bool {
        let has = |name: &String| issue.labels.contains(name);
        self.add_labels.iter().all(has)
            && !self.remove_labels.iter().any(has)
            && self.assignee.is_none_or(|id| issue.assignees.iter().any(|assignee| assignee.id == id))
    }
}

impl Project {
    /// One issue, read afresh.
    ///
    /// # Errors
    ///
    /// [`GitlabError::is_gone`] where it is deleted or not for us to see.
    pub async fn issue(&self, iid: u64) -> Result<Issue, GitlabError> {
        let endpoint = built(ReadIssue::builder().project(self.id).issue(iid).build())?;
        self.gitlab.get(&endpoint).await
    }

    /// Up to 100 issues that changed at or after `since`, oldest change first, without those in `but`, from page `page`;
    /// and whether there are more. No label filter: it would hide the issue that just lost its label.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn issues_updated_since(
        &self,
        since: Option<Timestamp>,
        but: &[u64],
        page: u64,
    ) -> Result<(Vec<Issue>, bool), GitlabError> {
        let mut endpoint = self
            .plain(Method::GET, "issues")
            .query("scope", "all")
            .query("state", "all")
            .query("order_by", "updated_at")
            .query("sort", "asc")
            .query("per_page", 100);
        if let Some(since) = since {
            // The crate's builder cuts times to whole seconds.
            endpoint = endpoint.query("updated_after", format_args!("{since:.6}"));
        }
        for iid in but {
            endpoint = endpoint.query("not[iids][]", iid);
        }
        self.gitlab.page(&endpoint, page).await
    }

    /// Issues that anybody made at or after `since`: what an unclear answer may have left behind.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn issues_created_since(&self, since: Timestamp) -> Result<Vec<Issue>, GitlabError> {
        let endpoint = self
            .plain(Method::GET, "issues")
            .query("scope", "all")
            .query("state", "all")
            .query("order_by", "created_at")
            .query("sort", "asc")
            .query("created_after", format_args!("{since:.6}"))
            .query("per_page", 100);
        self.gitlab.all(&endpoint).await
    }

    /// The issues of these numbers that are still there; at most 100 a call.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn issues_by_iid(&self, iids: &[u64]) -> Result<Vec<Issue>, GitlabError> {
        let mut endpoint = self
            .plain(Method::GET, "issues")
            .query("scope", "all")
            .query("state", "all")
            .query("per_page", 100);
        for iid in iids {
            endpoint = endpoint.query("iids[]", iid);
        }
        self.gitlab.all(&endpoint).await
    }

    /// The issues that carry a label of this name.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn issues_with_label(&self, name: &str) -> Result<Vec<Issue>, GitlabError> {
        let endpoint = self
            .plain(Method::GET, "issues")
            .query("scope", "all")
            .query("state", "all")
            .query("labels", name);
        self.gitlab.all(&endpoint).await
    }

    /// Makes an issue, below GitLab's limit on new ones.
    ///
    /// # Errors
    ///
    /// Where [`GitlabError::is_unclear`], the issue may be there all the same.
    pub async fn create_issue(&self, new: &NewIssue) -> Result<Issue, GitlabError> {
        self.gitlab.room_for_an_issue().await?;
        let mut body = json!({
            "title": new.title,
            "description": new.description,
            "labels": new.labels.join(","),
        });
        if let Some(assignee) = new.assignee {
            body["assignee_ids"] = json!([assignee]);
        }
        if let Some(date) = new.due_date {
            body["due_date"] = json!(date);
        }
        self.gitlab.get(&self.plain(Method::POST, "issues").json(body)).await
    }

    /// Changes an issue and tells what it is afterwards.
    ///
    /// # Errors
    ///
    /// As any call; labels may have changed although another field was refused.
    pub async fn change_issue(&self, iid: u64, change: &IssueChange) -> Result<Issue, GitlabError> {
        let mut body = json!({});
        for (field, labels) in [("add_labels", &change.add_labels), ("remove_labels", &change.remove_labels)]
        {
            if !labels.is_empty() {
                body[field] = json!(labels.join(","));
            }
        }
        if let Some(close) = change.close {
            body["state_event"] = json!(if close { "close" } else { "reopen" });
        }
        if let Some(assignee) = change.assignee {
            body["assignee_ids"] = json!([assignee]);
        }
        if let Some(confidential) = change.confidential {
            body["confidential"] = json!(confidential);
        }
        if let Some((title, description)) = &change.text {
            body["title"] = json!(title);
            body["description"] = json!(description);
        }
        self.put_issue(iid, body).await
    }

    /// Replaces an issue's text.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn describe_issue(&self, iid: u64, description: &str) -> Result<Issue, GitlabError> {
        self.put_issue(iid, json!({ "description": description })).await
    }

    async fn put_issue(&self, iid: u64, body: serde_json::Value) -> Result<Issue, GitlabError> {
        self.gitlab.get(&self.plain(Method::PUT, &format!("issues/{iid}")).json(body)).await
    }

    pub(super) fn plain(&self, method: Method, path: &str) -> Plain {
        Plain::new(method, format!("projects/{}/{path}", self.id))
    }
}

/// A builder fails only where a required field was not given.
pub(super) fn built<E, F>(endpoint: Result<E, F>) -> Result<E, GitlabError> {
    endpoint.map_err(|_| GitlabError::NotSent("a required field was not given"))
}

/// `null` counts as missing.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// GitLab's own schema lets people in a list be `null`.
fn those_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<User>, D::Error> {
    let people = Option::<Vec<Option<User>>>::deserialize(deserializer)?;
    Ok(people.unwrap_or_default().into_iter().flatten().collect())
}

/// Labels come as names, or as objects where `with_labels_details` was asked for.
fn label_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Label {
        Name(String),
        Details { name: String },
    }
    let labels = Option::<Vec<Label>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(labels
        .into_iter()
        .map(|label| match label {
            Label::Name(name) | Label::Details { name } => name,
        })
        .collect())
}
