"""One made-up secret of every kind, for tests; built at run time so that no scanner takes this file for a leak."""

_BODY = "Ab3" * 60


def samples() -> dict[str, str]:
    """A text with one secret, by the name of its kind."""
    body = "\n".join(["MIIEvQ" + "Zx9+" * 14 + "ab"] * 5 + ["Zx9+" * 6 + "=="])
    label = "PRIVATE" + " KEY"
    pem = f"-----BEGIN RSA {label}-----\n{body}\n-----END RSA {label}-----"
    return {
        "anthropic_key": "sk-" + "ant-" + _BODY[:90],
        "openai_key": "sk-" + "proj-" + _BODY[:60] + "_-" + _BODY[:60],
        "openrouter_key": "sk-" + "or-v1-" + "0a" * 32,
        "langfuse_key": "sk-" + "lf-" + "0a0b-" * 8,
        "api_key": "sk-" + _BODY[:48],
        "stripe_key": "sk" + "_live_" + _BODY[:24],
        "stripe_webhook_secret": "wh" + "sec_" + _BODY[:32],
        "aws_access_key_id": "AK" + "IA" + "Q7" * 8,
        "aws_bedrock_key": "AB" + "SK" + _BODY[:110],
        "aws_secret_key": "aws_secret_access_key = " + "a/B+" * 10,
        "github_token": "gh" + "p_" + _BODY[:36],
        "gitlab_token": "gl" + "pat-" + _BODY[:20],
        "slack_token": "xo" + "xb-" + "1234567890-" * 2 + _BODY[:24],
        "slack_webhook": "https://hooks.slack.com" + "/services/T" + "01234567/B01234567/" + _BODY[:24],
        "google_api_key": "AI" + "za" + _BODY[:35],
        "google_oauth_token": "ya" + "29." + _BODY[:40],
        "google_oauth_secret": "GOC" + "SPX-" + _BODY[:28],
        "hugging_face_token": "h" + "f_" + _BODY[:34],
        "groq_key": "gs" + "k_" + _BODY[:52],
        "xai_key": "xa" + "i-" + _BODY[:80],
        "perplexity_key": "pp" + "lx-" + _BODY[:48],
        "nvidia_key": "nv" + "api-" + _BODY[:64],
        "replicate_token": "r" + "8_" + _BODY[:37],
        "fireworks_key": "f" + "w_" + _BODY[:24],
        "pinecone_key": "pc" + "sk_" + _BODY[:60],
        "npm_token": "np" + "m_" + _BODY[:36],
        "pypi_token": "py" + "pi-AgE" + _BODY[:120],
        "digitalocean_token": "do" + "p_v1_" + "0a" * 32,
        "sendgrid_key": "S" + "G." + _BODY[:22] + "." + _BODY[:43],
        "private_key": pem,
        "jwt": "ey" + "JhbGciOiJIUzI1NiJ9" + "." + "eyJzdWIiOiIxIn0" + "." + _BODY[:43],
        "bearer_token": "Authorization: Bearer " + _BODY[:40],
        "basic_credentials": "Authorization: Basic " + _BODY[:32] + "==",
        "url_password": "postgresql://app:" + "hunter2" + "@db.internal/shop",
    }
