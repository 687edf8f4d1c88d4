// What a response means for a client, in a sentence.

import { challengeLabel } from "./labels.js";

const CHALLENGES = {
  "bare challenge": "The request has no token, or none that this view reads. The challenge then has no error (RFC 6750).",
  invalid_request: "The credentials are malformed: the client must change its request.",
  invalid_token: "The client needs another token. It does not learn why.",
  insufficient_scope: "The token is valid. The client needs one with the scope in the challenge.",
  invalid_dpop_proof: "The token may be valid. The client must make a new proof, for this request alone.",
  use_dpop_nonce: "The response has a DPoP-Nonce. The client puts it into a new proof, and sends the request again.",
  insufficient_user_authentication: "The token is valid, but its user must log in again: see acr_values and max_age.",
};

const REASONS = {
  sender_constrained: "The token is bound, and the request shows neither its key nor its certificate: a stolen token is useless.",
  wrong_confirmation: "The request shows another key or certificate than the one that the token is bound to.",
  replayed_proof: "Each proof is valid once: someone who has read a request cannot send it again.",
  binding_required: "This view takes only tokens that are bound to a key or a certificate.",
};

export function meaningOf({ status, challenge }, reason) {
  if (status < 300) return null;
  if (status >= 500) return "The token could not be validated now. The client keeps it, and tries again later.";
  if (challenge === null) return "The token is valid, and no other scope would help. So there is no challenge.";
  return [CHALLENGES[challengeLabel(challenge)], REASONS[reason]].filter(Boolean).join(" ");
}
