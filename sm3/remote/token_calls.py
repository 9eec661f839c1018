"""What is asked about tokens, most of it by admins; `sm3.remote.client.Client` has these methods."""

from __future__ import annotations

from sm3.remote.tokens import NewToken, TokenPage, TokenRotation, TokenSpec, TokenView, Whoami
from sm3.remote.transport import Transport


class TokenCalls(Transport):
    """The part of the client that makes, lists, rotates and revokes tokens, and asks about its own."""

    def whoami(self) -> Whoami:
        """Returns the name and the scope of this client's own token."""
        return self._get("/v1/whoami", Whoami)

    def create_token(self, spec: TokenSpec) -> NewToken:
        """Makes a token and returns it with its secret, which cannot be had again."""
        return self._post("/v1/tokens", NewToken, spec)

    def tokens(self, *, after: str | None = None, limit: int = 50) -> TokenPage:
        """Returns a page of tokens without their secrets, newest first."""
        return self._get("/v1/tokens", TokenPage, after=after, limit=limit)

    def token(self, token_id: str) -> TokenView:
        """Returns a token without its secret."""
        return self._get(f"/v1/tokens/{token_id}", TokenView)

    def revoke_token(self, token_id: str) -> TokenView:
        """Ends a token at once."""
        return self._delete(f"/v1/tokens/{token_id}", TokenView)

    def rotate_token(self, token_id: str, *, grace_s: int = 0) -> NewToken:
        """Gives a token a new secret and returns it; the old one is good for another ``grace_s`` seconds."""
        return self._post(f"/v1/tokens/{token_id}/rotate", NewToken, TokenRotation(grace_s=grace_s))
