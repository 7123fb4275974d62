// What became of an operation: its status and its outcome, the same at every correct replica. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "config/bytes.h"
#include "consensus/types.h"

namespace loyal::kvstore {

using Revision = consensus::Number<struct RevisionTag, std::uint64_t>;  // counts changes of the whole store, from 1
using LeaseId = consensus::Number<struct LeaseTag, std::uint64_t>;      // from 1, in the order of their grants

enum class Status : std::uint8_t {
    ok = 0,
    not_found = 1,         // del of an absent key
    mismatch = 2,          // cas: the comparison failed
    invalid = 3,           // the operations of the envelope do not parse, or break a limit
    expired = 4,           // block hlc > not_after: surely not executed
    beyond_horizon = 5,    // not_after too far ahead: surely not executed
    window = 6,            // seq >= low + session_window: surely not executed
    no_session = 7,        // too many sessions of this client, none of them idle: surely not executed
    denied = 8,            // the client lacks the right
    too_large = 9,         // a range whose answer no longer fits the reply to its envelope or block: ask again alone;
                           // a delete of more than delete_keys_max keys
    compacted = 10,        // a revision or time before what is kept; the result is the oldest revision that is
    future_revision = 11,  // a revision that was not reached yet
    no_lease = 12,         // unknown, revoked or expired; or somebody else's
    fenced = 13,           // a newer token of the fence's lock was given out
    no_lock = 14,          // a fence for a lock, or a token, that never was; a lock that the lease does not wait for
    exhausted = 15,      // too many leases of a client, keys of a lease, waiters for a lock, clients, or grants of one
    no_client = 16,      // no client has that name, or it has none of these rights there
    exists = 17,         // a client has that name or that key
    last_operator = 18,  // nobody would be left who may change rights
};
[[nodiscard]] bool is_status(std::uint8_t number);
[[nodiscard]] std::string_view to_string(Status status);

// Outcome of one executed operation, identical at every correct replica, now and when a retry asks again (C4, P2).
struct Outcome {
    consensus::Seq seq;
    consensus::Height height;  // of the block that executed it first
    consensus::View view;      // of that block
    consensus::Hlc hlc;        // of that block; the operation's timestamp
    Revision revision;         // of the store after the operation
    Status status = Status::ok;
    Bytes result;  // see answers.h
    friend bool operator==(const Outcome&, const Outcome&) = default;
};
// H("outcome", every field): what w replicas must agree on.
[[nodiscard]] crypto::Digest outcome_digest(const Outcome& outcome);

}  // namespace loyal::kvstore
