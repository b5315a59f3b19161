//! Files of the repository's default branch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::people::{Ability, Visibility};
use super::super::refusal::Refusal;
use super::super::request::{Answer, Request};
use super::super::world::World;
use super::Answered;

/// The only branch, and the commit that it is at.
const BRANCH: &str = "main";
const COMMIT: &str = "d5a3ff139356ce33e37e73add446f16869741b50";

/// Whoever may not read the code of a private project is refused; a file that is not there is not found.
fn find<'a>(world: &'a World, request: &Request, path: &str) -> Result<&'a Vec<u8>, Refusal> {
    if world.options.visibility == Visibility::Private && !world.can(request.user, Ability::ReadCode) {
        return Err(Refusal::forbidden());
    }
    match request.params.text("ref") {
        None | Some("HEAD" | BRANCH | COMMIT) => {}
        Some(_) => return Err(Refusal::not_found("Commit")),
    }
    world.files.get(path).ok_or_else(|| Refusal::not_found("File"))
}

pub(super) fn get(world: &World, request: &Request, path: &str) -> Answered {
    let content = find(world, request, path)?;
    let sha256: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = path.rsplit('/').next().unwrap_or(path);
    let asked = request.params.text("ref").unwrap_or("HEAD");
    if request.method == Method::HEAD {
        return Ok(Answer::Head(vec![
            ("x-gitlab-blob-id", sha256[..40].to_owned()),
            ("x-gitlab-commit-id", COMMIT.to_owned()),
            ("x-gitlab-content-sha256", sha256),
            ("x-gitlab-encoding", "base64".to_owned()),
            ("x-gitlab-execute-filemode", "false".to_owned()),
            ("x-gitlab-file-name", name.to_owned()),
            ("x-gitlab-file-path", path.to_owned()),
            ("x-gitlab-last-commit-id", COMMIT.to_owned()),
            ("x-gitlab-ref", asked.to_owned()),
            ("x-gitlab-size", content.len().to_string()),
        ]));
    }
    let body = json!({
        "file_name": name,
        "file_path": path,
        "size": content.len(),
        "encoding": "base64",
        "content_sha256": sha256,
        "ref": asked,
        "blob_id": sha256[..40],
        "commit_id": COMMIT,
        "last_commit_id": COMMIT,
        "execute_filemode": false,
        "content": STANDARD.encode(content),
    });
    Ok(Answer::Json(200, body))
}

pub(super) fn raw(world: &World, request: &Request, path: &str) -> Answered {
    Ok(Answer::File(find(world, request, path)?.clone()))
}
