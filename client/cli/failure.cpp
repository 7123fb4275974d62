#include "client/cli/failure.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/session.h"
#include "config/limits.h"

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

// What the past says no with; `revision` is the store's.
Failure refusal_of_revision(kvstore::Status status, const Bytes& result, kvstore::Revision revision) {
    if (status == kvstore::Status::compacted) {
        const std::uint64_t oldest = kvstore::decode_count(result).value_or(0);
        return {Exit::negative, "compacted",
                fmt::format("compacted: what was before revision {0} is forgotten; use revision {0} or a newer one",
                            oldest)};
    }
    return {Exit::negative, "future_revision",
            fmt::format("there is no such revision yet: the store is at revision {0}; use {0} or an older one",
                        revision.value)};
}

// Answers by which every correct replica says that it did not and never will do it.
Failure refusal_of(kvstore::Status status, const Bytes& result, kvstore::Revision revision) {
    using kvstore::Status;
    const std::string name(to_string(status));
    switch (status) {
        case Status::not_found: return {Exit::negative, "not_found", "key not found"};
        case Status::mismatch:
            return {Exit::negative, "comparison_failed", "comparison failed: the key has another value"};
        case Status::invalid: return {Exit::usage, "bad_input", "the cluster refused the operation as invalid"};
        case Status::compacted:
        case Status::future_revision: return refusal_of_revision(status, result, revision);
        case Status::no_lease:
            return {Exit::negative, "no_lease",
                    "there is no such lease of this client: it never was, was revoked, or has expired; `loyal lease "
                    "grant` makes a new one"};
        case Status::fenced:
            return {Exit::negative, "fenced",
                    "fenced: a newer token of that lock was given out, so nothing was changed; acquire the lock again"};
        case Status::no_lock:
            return {Exit::negative, "no_lock",
                    "there is no such lock, or it never gave out that token; nothing was changed"};
        case Status::exhausted:
            return {Exit::negative, "exhausted",
                    "there are too many already: leases of this client, keys of that lease, waiters for that lock, "
                    "clients, or "
                    "prefixes of one"};
        case Status::no_client:
            return {Exit::negative, "no_client",
                    "there is no client of that name, or it has none of these rights below exactly that prefix; `loyal "
                    "auth list` shows what there is"};
        case Status::exists:
            return {Exit::negative, "exists", "a client of that name, or with that key, is known already"};
        case Status::last_operator:
            return {Exit::negative, "last_operator",
                    "nobody would be left who may change rights; make another client admin of all keys first"};
        case Status::too_large:
            return {
                Exit::negative, "too_large",
                fmt::format("too large for one operation: a range of more than {} keys to delete, or an answer that "
                            "does not fit; nothing was changed, ask for less at once",
                            limits::delete_keys_max)};
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

// What was not even sent, or what every correct replica finds malformed.
Failure invalid_input(std::string_view why) {
    for (const std::string_view said : {std::string_view("not applied: "), std::string_view("invalid: ")}) {
        why.remove_prefix(why.starts_with(said) ? said.size() : 0);
    }
    return {Exit::usage, "bad_input", std::string(why)};
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
            return tl::unexpected<Failure>(
                refusal_of(result.outcome.status, result.outcome.result, result.outcome.revision));
        case client::Certainty::not_applied:
            if (result.denied) {
                return refuse(Exit::not_allowed, "not_allowed",
                              result.why + "; use --as or --key to name another client");
            }
            if (result.outcome.status == kvstore::Status::invalid) {
                return tl::unexpected<Failure>(invalid_input(result.why));
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
    if (result.status == kvstore::Status::invalid) {
        return tl::unexpected<Failure>(invalid_input(result.why));
    }
    if (result.status != kvstore::Status::ok) {
        return tl::unexpected<Failure>(refusal_of(result.status, result.result, result.revision));
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
