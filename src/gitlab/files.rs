//! Files of the project's repository, as the default branch has them.

use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{GitlabError, Project};

/// Largest file that may be a pointer into large file storage, in bytes:
/// <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md> has them under 1024.
const POINTER_LIMIT: u64 = 1024;

impl Project {
    /// How many bytes a file has; none where there is none. A token below Reporter is refused with 403.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn file_size(&self, path: &str) -> Result<Option<u64>, GitlabError> {
        let endpoint = self.plain(Method::HEAD, &address(path, "")).query("ref", "HEAD");
        match self.gitlab.call(&endpoint).await {
            Ok(reply) => {
                let size =
                    reply.headers.get("x-gitlab-size").and_then(|value| value.to_str().ok()?.parse().ok());
                match size.unwrap_or(0) {
                    // It may only point into large file storage.
                    size @ ..=POINTER_LIMIT => {
                        let bytes = self.raw(path, false).await?;
                        Ok(Some(bytes.and_then(|bytes| pointed_at(&bytes)).unwrap_or(size)))
                    }
                    size => Ok(Some(size)),
                }
            }
            // What stands before a GitLab does not let every HEAD through.
            Err(error) if is_missing_or_refused(&error) => {
                Ok(self.file(path).await?.map(|bytes| bytes.len() as u64))
            }
            Err(error) => Err(error),
        }
    }

    /// A file's bytes; none where there is none. What lies in large file storage is fetched from there.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn file(&self, path: &str) -> Result<Option<bytes::Bytes>, GitlabError> {
        self.raw(path, true).await
    }

    /// A file's bytes, or where it `is_followed` what it points at.
    async fn raw(&self, path: &str, is_followed: bool) -> Result<Option<bytes::Bytes>, GitlabError> {
        let endpoint = self.plain(Method::GET, &address(path, "/raw")).query("ref", "HEAD");
        let endpoint = if is_followed { endpoint.query("lfs", "true") } else { endpoint };
        match self.gitlab.call(&endpoint).await {
            Ok(reply) => Ok(Some(reply.body)),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The size of what a pointer into large file storage points at; none where it is no pointer.
fn pointed_at(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.strip_prefix("version https://git-lfs.github.com/spec/")?;
    text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok())
}

fn is_missing_or_refused(error: &GitlabError) -> bool {
    let refused = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
    error.status().is_some_and(|status| refused.contains(&status))
}

/// Whether a call failed because the token's role may not read the repository.
pub fn is_forbidden(error: &GitlabError) -> bool {
    error.status() == Some(StatusCode::FORBIDDEN)
}

fn address(path: &str, kind: &str) -> String {
    format!("repository/files/{}{kind}", utf8_percent_encode(path, NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of git-lfs' own specification.
    #[test]
    fn a_pointer_tells_the_size_of_what_it_points_at() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        assert_eq!(pointed_at(pointer.as_bytes()), Some(12_345));
        assert_eq!(pointed_at(b"size 12345\n"), None);
        assert_eq!(pointed_at(b"%PDF \xff"), None);
    }
}
