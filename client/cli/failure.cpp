#include "client/cli/failure.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/session.h"

namespace loyal::cli {

namespace {

// The library's reasons may already say which of the two it was; it is said exactly once.
std::string definitely_not_applied(std::string_view why) {
    constexpr std::string_view said = "not applied: ";
    return fmt::format("definitely not applied: {}. It is safe to try again.",
                       why.starts_with(said) ? why.substr(said.size()) : why);
}

std::string maybe_applied(const std::string& why) {
    if (why.find("may have been applied") != std::string::npos) {
        return why;
    }
    return why + "; it may have been applied, or may be later: read before you repeat it";
}

// Outcomes by which every correct replica says that it did not and never will execute the operation.
Failure refusal_of(kvstore::Status status) {
    using kvstore::Status;
    const std::string name(to_string(status));
    switch (status) {
        case Status::not_found: return {Exit::negative, "not_found", "key not found"};
        case Status::mismatch:
            return {Exit::negative, "comparison_failed", "comparison failed: the key has another value"};
        case Status::invalid: return {Exit::usage, "bad_input", "the cluster refused the operation as invalid"};
        case Status::compacted:
            return {Exit::negative, "compacted", "that revision is compacted: the store does not know it any more"};
        case Status::future_revision: return {Exit::negative, "future_revision", "that revision was not reached yet"};
        case Status::no_lease:
            return {Exit::negative, "no_lease",
                    "there is no such lease of this client: it never was, was revoked, or has expired"};
        case Status::fenced:
            return {Exit::negative, "fenced",
                    "fenced: a newer token of that lock was given out, so nothing was changed"};
        case Status::no_lock:
            return {Exit::negative, "no_lock",
                    "there is no such lock or fencing token, or the lease does not wait for that lock"};
        case Status::exhausted:
            return {Exit::negative, "exhausted",
                    "there are too many: leases of this client, keys of that lease, or waiters for that lock"};
        case Status::too_large:
            return {Exit::negative, "too_large",
                    "the range has too many keys, or its answer is too long, for one operation: nothing was changed"};
        case Status::denied:
            return {Exit::not_allowed, "not_allowed", "this client lacks the right; use --as or --key to name another"};
        case Status::ok:
        case Status::expired:
        case Status::beyond_horizon:
        case Status::window:
        case Status::no_session: break;
    }
    return {Exit::not_applied, "unavailable", definitely_not_applied("the cluster did not execute it (" + name + ")")};
}

std::string_view applied_of(Exit exit) {
    switch (exit) {
        case Exit::not_applied: return "no";
        case Exit::maybe_applied: return "unknown";
        case Exit::done:
        case Exit::negative:
        case Exit::usage:
        case Exit::not_allowed:
        case Exit::integrity:
        case Exit::internal: break;
    }
    return "";
}

}  // namespace

tl::unexpected<Failure> refuse(Exit exit, std::string code, std::string message) {
    return tl::unexpected<Failure>(Failure{exit, std::move(code), std::move(message)});
}

tl::unexpected<Failure> refuse_input(std::string message) {
    return refuse(Exit::usage, "bad_input", std::move(message));
}

Failure failure_of(const Error& error) {
    switch (error.code) {
        case Errc::invalid_argument: return {Exit::usage, "bad_input", error.message};
        case Errc::conflict: return {Exit::usage, "conflict", error.message};
        case Errc::not_found: return {Exit::negative, "not_found", error.message};
        case Errc::corrupted: return {Exit::integrity, "corrupted", error.message};
        case Errc::unauthentic: return {Exit::integrity, "not_authentic", error.message};
        case Errc::permission: return {Exit::not_allowed, "not_allowed", error.message};
        case Errc::unavailable: return {Exit::not_applied, "unavailable", error.message};
        case Errc::timed_out: return {Exit::maybe_applied, "timed_out", error.message};
        case Errc::io: return {Exit::internal, "io", error.message};
        case Errc::disk_full: return {Exit::internal, "disk_full", error.message};
        case Errc::internal: break;
    }
    return {Exit::internal, "internal", error.message};
}

Failure input_failure_of(const Error& error) {
    if (error.code == Errc::not_found || error.code == Errc::io) {
        return {Exit::usage, "bad_input", error.message};
    }
    return failure_of(error);
}

Answer<void> judge(const client::WriteResult& result) {
    switch (result.certainty) {
        case client::Certainty::done:
            if (result.outcome.status == kvstore::Status::ok) {
                return {};
            }
            return tl::unexpected<Failure>(refusal_of(result.outcome.status));
        case client::Certainty::not_applied:
            if (result.denied) {
                return refuse(Exit::not_allowed, "not_allowed",
                              result.why + "; use --as or --key to name another client");
            }
            return refuse(Exit::not_applied, "unavailable", definitely_not_applied(result.why));
        case client::Certainty::maybe_applied: break;
    }
    return refuse(Exit::maybe_applied, "timed_out", maybe_applied(result.why));
}

Answer<void> judge(const client::ReadResult& result) {
    if (result.ok) {
        return {};
    }
    if (result.denied) {
        return refuse(Exit::not_allowed, "not_allowed", result.why + "; use --as or --key to name another client");
    }
    if (result.integrity) {
        return refuse(Exit::integrity, "no_agreement", result.why);
    }
    return refuse(Exit::not_applied, "unavailable",
                  result.why + ". A read changes nothing; `loyal status` shows which replicas answer.");
}

std::string describe(const Failure& failure, bool as_json) {
    if (!as_json) {
        return "loyal: " + failure.message + "\n";
    }
    nlohmann::ordered_json error = {
        {"code", failure.code}, {"message", failure.message}, {"exit", static_cast<int>(failure.exit)}};
    if (const std::string_view applied = applied_of(failure.exit); !applied.empty()) {
        error["applied"] = applied;
    }
    const nlohmann::ordered_json document = {{"error", error}};
    return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace loyal::cli
