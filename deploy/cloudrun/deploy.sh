#!/usr/bin/env bash
# From the Dockerfile to Artifact Registry to Cloud Run. Idempotent: what is there already stays.
#
#   deploy/cloudrun/deploy.sh --project my-project --gitlab-project me/jobs --reviewers anna [--dry-run]
#
# Needs gcloud (logged in) and docker, and three secrets in Secret Manager (deploy/operating.md says how they are made):
# vorhoelle-gitlab-token, vorhoelle-webhook-secret, vorhoelle-api-tokens.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
    cat >&2 <<'TEXT'
usage: deploy/cloudrun/deploy.sh --project ID --gitlab-project PATH --reviewers NAMES [options]
  --project ID           Google Cloud project
  --gitlab-project PATH  group/project, or the project's number
  --reviewers NAMES      GitLab usernames with commas between
  --gitlab-url URL       default https://gitlab.com
  --region REGION        default europe-west3
  --service NAME         default vorhoelle
  --image IMAGE          an image that is in a registry already: nothing is built
  --public-url URL       default: the address that Cloud Run gives the service
  --scale-to-zero        asleep between requests; Cloud Scheduler calls /api/v1/tick
  --scheduler-token NAME the API token that the scheduler uses, by its name in vorhoelle-api-tokens; default scheduler
  --secret NAME=VARIABLE another secret of Secret Manager, as this variable; as often as needed
  --env VARIABLE=VALUE   another variable that is no secret; as often as needed
  --dry-run              print what would be run, and run nothing
TEXT
    exit 2
}

project='' gitlab_project='' reviewers='' image='' public_url=''
gitlab_url=https://gitlab.com region=europe-west3 service=vorhoelle scheduler_token=scheduler
scale_to_zero=no dry_run=no
more_secrets=() more_variables=()
while [ $# -gt 0 ]; do
    case "$1" in
        --project) project="${2?}"; shift 2 ;;
        --gitlab-project) gitlab_project="${2?}"; shift 2 ;;
        --reviewers) reviewers="${2?}"; shift 2 ;;
        --gitlab-url) gitlab_url="${2?}"; shift 2 ;;
        --region) region="${2?}"; shift 2 ;;
        --service) service="${2?}"; shift 2 ;;
        --image) image="${2?}"; shift 2 ;;
        --public-url) public_url="${2?}"; shift 2 ;;
        --scheduler-token) scheduler_token="${2?}"; shift 2 ;;
        --secret) more_secrets+=("${2?}"); shift 2 ;;
        --env) more_variables+=("${2?}"); shift 2 ;;
        --scale-to-zero) scale_to_zero=yes; shift ;;
        --dry-run) dry_run=yes; shift ;;
        *) echo "unknown argument: $1" >&2; usage ;;
    esac
done
if [ -z "$project" ] || [ -z "$gitlab_project" ] || [ -z "$reviewers" ]; then usage; fi
for value in "$project" "$gitlab_project" "$reviewers" "$gitlab_url" "$region" "$service" "$image" "$public_url"; do
    case "$value" in
        *[!A-Za-z0-9._/,:@+-]*) echo "this is no name or address: $value" >&2; exit 2 ;;
    esac
done

for pair in ${more_secrets[@]+"${more_secrets[@]}"}; do
    if ! [[ "$pair" =~ ^[A-Za-z0-9_-]+=VORHOELLE[_][A-Z0-9_]+$ ]]; then
        echo "this is no NAME=VARIABLE: $pair" >&2; exit 2
    fi
done
for pair in ${more_variables[@]+"${more_variables[@]}"}; do
    # What has a meaning in a quoted text of YAML is left out.
    if ! [[ "$pair" =~ ^VORHOELLE[_][A-Z0-9_]+=[]A-Za-z0-9._/,:@+\<\>\ =%?\&\;\(\)[-]*$ ]]; then
        echo "this is no VARIABLE=VALUE: ${pair%%=*}" >&2; exit 2
    fi
done

secrets=(vorhoelle-gitlab-token vorhoelle-webhook-secret vorhoelle-api-tokens)
for pair in ${more_secrets[@]+"${more_secrets[@]}"}; do secrets+=("${pair%%=*}"); done
account="$service@$project.iam.gserviceaccount.com"
registry="$region-docker.pkg.dev/$project/vorhoelle"
job="$service-tick"

# Runs a command, or prints it.
run() {
    if [ "$dry_run" = yes ]; then
        printf '+'; printf ' %q' "$@"; printf '\n'
    else
        "$@"
    fi
}

# Whether something is there already; in a dry run nothing is.
there() { [ "$dry_run" = no ] && "$@" >/dev/null 2>&1; }

gc() { run gcloud --project "$project" --quiet "$@"; }

echo "== services of Google Cloud"
apis=(run.googleapis.com artifactregistry.googleapis.com secretmanager.googleapis.com)
[ "$scale_to_zero" = no ] || apis+=(cloudscheduler.googleapis.com)
gc services enable "${apis[@]}"

echo "== an account of the service's own, which may read its secrets and nothing else"
there gcloud --project "$project" iam service-accounts describe "$account" ||
    gc iam service-accounts create "$service" --display-name "Vorhoelle"
for secret in "${secrets[@]}"; do
    gc secrets add-iam-policy-binding "$secret" --member "serviceAccount:$account" \
        --role roles/secretmanager.secretAccessor
done

if [ -z "$image" ]; then
    echo "== the image"
    there gcloud --project "$project" artifacts repositories describe vorhoelle --location "$region" ||
        gc artifacts repositories create vorhoelle --repository-format docker --location "$region"
    gc auth configure-docker "$region-docker.pkg.dev"
    image="$registry/vorhoelle:$(git rev-parse --short=12 HEAD 2>/dev/null || echo local)"
    run docker buildx build --file deploy/Dockerfile --platform linux/amd64 --tag "$image" --push .
fi

if [ -z "$public_url" ]; then
    if [ "$dry_run" = yes ]; then
        number=PROJECT_NUMBER
    else
        number="$(gcloud projects describe "$project" --format 'value(projectNumber)')"
    fi
    public_url="https://$service-$number.$region.run.app"
fi

echo "== the service"
template=deploy/cloudrun/service.yaml
[ "$scale_to_zero" = no ] || template=deploy/cloudrun/service-scale-to-zero.yaml
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
for pair in ${more_secrets[@]+"${more_secrets[@]}"}; do
    printf '            - name: %s\n              valueFrom:\n' "${pair#*=}"
    printf '                secretKeyRef: { name: %s, key: latest }\n' "${pair%%=*}"
done > "$folder/more.yaml"
for pair in ${more_variables[@]+"${more_variables[@]}"}; do
    printf '            - name: %s\n              value: "%s"\n' "${pair%%=*}" "${pair#*=}"
done >> "$folder/more.yaml"
# Quoted, for a project's number and a list of names have to stay texts.
sed -e "s|\${SERVICE}|$service|" -e "s|\${SERVICE_ACCOUNT}|$account|" -e "s|\${IMAGE}|$image|" \
    -e "s|\${GITLAB_URL}|$gitlab_url|" -e "s|\${GITLAB_PROJECT}|\"$gitlab_project\"|" \
    -e "s|\${REVIEWERS}|\"$reviewers\"|" -e "s|\${PUBLIC_URL}|$public_url|" \
    -e "/^ *env:\$/r $folder/more.yaml" "$template" > "$folder/service.yaml"
if [ "$dry_run" = yes ]; then sed 's/^/| /' "$folder/service.yaml"; fi
gc run services replace "$folder/service.yaml" --region "$region"
# GitLab and the pipeline have no Google account: every call proves itself by secret or token.
gc run services add-iam-policy-binding "$service" --region "$region" --member allUsers --role roles/run.invoker

if [ "$scale_to_zero" = yes ]; then
    echo "== the scheduler"
    token='***'
    if [ "$dry_run" = no ]; then
        token="$(gcloud --project "$project" secrets versions access latest --secret vorhoelle-api-tokens |
            tr ',' '\n' | sed -n "s/^ *$scheduler_token://p")"
        [ -n "$token" ] || { echo "vorhoelle-api-tokens holds no token named $scheduler_token" >&2; exit 1; }
    fi
    verb=create headers=--headers
    if there gcloud --project "$project" scheduler jobs describe "$job" --location "$region"; then
        verb=update headers=--update-headers
    fi
    # In a file that only we can read: arguments are seen by everybody on this machine.
    (umask 077; printf -- '%s:\n  Authorization: "Bearer %s"\n' "$headers" "$token" > "$folder/flags.yaml")
    gc scheduler jobs "$verb" http "$job" --location "$region" --schedule '*/5 * * * *' \
        --uri "$public_url/api/v1/tick" --http-method POST --attempt-deadline 300s --flags-file "$folder/flags.yaml"
fi

echo "== done: $public_url"
echo "Next, once, with a Maintainer's token: VORHOELLE_PUBLIC_URL=$public_url vorhoelle setup"
