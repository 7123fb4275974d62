#include "kvstore/outcome.h"

#include "crypto/canonical.h"

namespace loyal::kvstore {

bool is_status(std::uint8_t number) {
    return number <= static_cast<std::uint8_t>(Status::last_operator);
}

std::string_view to_string(Status status) {
    switch (status) {
        case Status::ok: return "ok";
        case Status::not_found: return "not found";
        case Status::mismatch: return "mismatch";
        case Status::invalid: return "invalid";
        case Status::expired: return "expired";
        case Status::beyond_horizon: return "beyond the horizon";
        case Status::window: return "beyond the session's window";
        case Status::no_session: return "no session";
        case Status::denied: return "denied";
        case Status::too_large: return "too large";
        case Status::compacted: return "compacted";
        case Status::future_revision: return "future revision";
        case Status::no_lease: return "no such lease";
        case Status::fenced: return "fenced";
        case Status::no_lock: return "no such lock or token";
        case Status::exhausted: return "too many";
        case Status::no_client: return "no such client or right";
        case Status::exists: return "exists already";
        case Status::last_operator: return "the last operator";
    }
    return "unknown";
}

crypto::Digest outcome_digest(const Outcome& outcome) {
    crypto::CanonicalWriter fixed(64);
    fixed.number(outcome.seq.value).number(outcome.height.value).number(outcome.view.value).number(outcome.hlc.packed);
    fixed.number(outcome.revision.value).number(static_cast<std::uint8_t>(outcome.status));
    fixed.number(static_cast<std::uint32_t>(outcome.result.size()));
    return crypto::Hasher("outcome").update(fixed.view()).update(outcome.result).finish();
}

}  // namespace loyal::kvstore
