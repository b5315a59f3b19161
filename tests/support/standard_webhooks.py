"""Reads deliveries as JSON, one a line, and verifies each as the Standard Webhooks library does; prints their types."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

hook = Webhook(sys.argv[1])


def refused(webhook, body, headers):
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return True
    return False


for line in sys.stdin:
    delivery = json.loads(line)
    body, headers = delivery["body"], delivery["headers"]
    print(hook.verify(body, headers)["type"])
    at = int(headers["webhook-timestamp"])
    for what, tampered in {
        "another body": (body.replace("match.", "Match.", 1), headers),
        "a blank more": (body + " ", headers),
        "another id": (body, headers | {"webhook-id": headers["webhook-id"] + "0"}),
        "another time": (body, headers | {"webhook-timestamp": str(at + 1)}),
        "no signature": (body, {name: value for name, value in headers.items() if name != "webhook-signature"}),
    }.items():
        assert refused(hook, *tampered), what + " was taken for genuine"
    assert refused(Webhook("whsec_" + "A" * 43 + "="), body, headers), "another key was taken for the right one"
