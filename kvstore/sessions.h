// Client sessions: which operations were executed, and with what outcome (PROTOCOL.md C1, C4). They are ordinary,
// sealed records of the replicated state, written in the same batches as the keys, so deduplication survives restarts
// and is the same everywhere.
//
// A session knows the sequence numbers low .. low+1023. `low` moves only when the client acknowledges that it has the
// replies of everything below (ack_low), so an outcome that was not acknowledged is always there for a retry. What was
// acknowledged is forgotten: when it comes again, nothing happens and nothing is answered.
//
// No threads: values, changed by the executor only.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "config/bytes.h"
#include "config/limits.h"
#include "config/result.h"
#include "consensus/types.h"
#include "kvstore/operation.h"

namespace loyal::kvstore {

struct SessionKey {
    consensus::ClientId client;
    consensus::SessionId session;
    friend auto operator<=>(const SessionKey&, const SessionKey&) = default;
};

struct ExecutedOperation {
    bool repeatable = false;  // a range that was answered: executed again for a retry, nothing is stored of it
    consensus::Height height;
    consensus::View view;
    consensus::Hlc hlc;
    Revision revision;
    Status status = Status::ok;
    Bytes result;  // at most result_inline_bytes_max
    friend bool operator==(const ExecutedOperation&, const ExecutedOperation&) = default;
};

class Session {
 public:
    [[nodiscard]] consensus::Seq low() const { return low_; }
    [[nodiscard]] consensus::Hlc last_executed() const { return last_executed_; }
    [[nodiscard]] std::size_t size() const { return executed_.size(); }
    // Null when `seq` was not executed, or was acknowledged.
    [[nodiscard]] const ExecutedOperation* find(consensus::Seq seq) const;
    // The stored outcome of an executed operation that is not repeatable.
    [[nodiscard]] static Outcome outcome_of(consensus::Seq seq, const ExecutedOperation& executed);

    // Forgets what is below `ack_low`. Never moves back (invariant I12: no executed operation becomes new again).
    void acknowledge(consensus::Seq ack_low);
    // `outcome.seq` is within the window (asserted).
    void record(const Outcome& outcome, bool repeatable);

    friend bool operator==(const Session&, const Session&) = default;

 private:
    friend Bytes encode_session(const Session& session);
    friend Result<Session> decode_session(ByteView content);

    consensus::Seq low_;
    consensus::Hlc last_executed_;
    std::map<std::uint64_t, ExecutedOperation> executed_;  // by sequence number: the bitmap and the outcomes in one
};

// Contents, without the seal (docs/STORAGE.md).
[[nodiscard]] Bytes encode_session(const Session& session);
[[nodiscard]] Result<Session> decode_session(ByteView content);
[[nodiscard]] Bytes encode_session_key(const SessionKey& key);
[[nodiscard]] Result<SessionKey> decode_session_key(ByteView bytes);

// `seq` is out of the window that begins at `low` (low <= seq).
[[nodiscard]] bool beyond_window(consensus::Seq low, consensus::Seq seq);
// not_after > now + E: too far ahead to be executed at `now`.
[[nodiscard]] bool beyond_horizon(consensus::Hlc not_after, consensus::Hlc now);

// The same at every replica of a cluster, or their states part ways; smaller in tests only.
struct SessionBounds {
    std::size_t sessions_per_client_max = limits::sessions_per_client_max;
    std::size_t operations_per_client_max = limits::remembered_operations_per_client_max;
};

// The sessions of every client with their last execution; derived from the sessions table when it is opened.
class SessionDirectory {
 public:
    explicit SessionDirectory(const SessionBounds& bounds) : bounds_(bounds) {}

    // True if the client may open another one.
    [[nodiscard]] bool has_room(const consensus::ClientId& client) const;
    // True if one more operation of the client may be remembered.
    [[nodiscard]] bool may_remember(const consensus::ClientId& client) const;
    // Its longest idle session, if nothing that it ever executed can still be timely: now > last execution + E. Every
    // executed envelope had not_after <= execution + E, so all of them have expired by then and a replayed one can
    // never execute again (pitfall 22).
    [[nodiscard]] std::optional<SessionKey> evictable(const consensus::ClientId& client, consensus::Hlc now) const;
    // `operations`: how many the session remembers.
    void touch(const SessionKey& key, consensus::Hlc last_executed, std::size_t operations);
    void remove(const SessionKey& key);

 private:
    struct Entry {
        consensus::Hlc last_executed;
        std::size_t operations = 0;
    };
    struct Client {
        std::map<consensus::SessionId, Entry> sessions;
        // Ties go to the smaller session id: the same choice at every replica.
        std::set<std::pair<consensus::Hlc, consensus::SessionId>> by_age;
        std::size_t operations = 0;
    };
    SessionBounds bounds_;
    std::map<consensus::ClientId, Client> clients_;
};

}  // namespace loyal::kvstore
