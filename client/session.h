// Session: the client's side of the protocol without I/O, used alike by the client library and by the simulator
// (PROTOCOL.md C1, C2, C4, P2, R1 to R4; WATCH.md). It collects operations into signed envelopes (at most two in
// flight), sends them to the primary, after T_retry to all, believes an outcome when w replicas agree on it, and runs
// quorum reads.
//
// Single-threaded: the owner calls it, sends what it asks for and calls completions itself. Time is the owner's
// monotonic milliseconds; the wall clock is never asked: not_after comes from the hlc that w replicas report.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/watch.h"
#include "consensus/quorum.h"
#include "consensus/verifier.h"
#include "kvstore/operation.h"
#include "wire/client_messages.h"

namespace loyal::client {

struct SessionOptions {
    crypto::PublicKey key;                  // the client's
    consensus::SessionId session;           // random, new for every Session
    std::uint64_t retry_ms = 100;           // T_retry = 2*L0
    std::uint64_t timeout_ms = 5'000;       // of an operation
    std::size_t replicas_probe_every = 64;  // 1 of so many envelopes goes to all at once (C2)
    std::size_t envelope_bytes_target = 256U << 10U;
    // A read needs a quorum's answers, so asking a quorum is enough while that goes well. At the beginning, and after
    // one that it was not enough for, so many are asked of all replicas at once (R1).
    std::uint64_t reads_before_sparing = 64;
};

enum class Certainty : std::uint8_t {
    done,           // w replicas agree on the outcome
    not_applied,    // surely not applied
    maybe_applied,  // timed out: may have been applied, or may be later
};

struct WriteResult {
    Certainty certainty = Certainty::done;
    kvstore::Outcome outcome;                    // with done; otherwise only a status of `invalid` says something
    std::vector<consensus::ReplicaId> replicas;  // that agreed
    std::string why;                             // otherwise
    bool denied = false;                         // unknown key or right missing
    consensus::SessionId session = {};           // with done: that the operation was of, for its receipt
};

enum class ReadPath : std::uint8_t { fast, ordered, stale };
struct ReadResult {
    bool ok = false;  // answered, and with Status::ok
    // Another status than ok is an answer as well, that w replicas agree on (compacted, no_lease, ...); `invalid`
    // without replicas: it was not asked, for what `why` says.
    kvstore::Status status = kvstore::Status::ok;
    Bytes result;                // see kvstore/answers.h
    kvstore::RangeResult range;  // the same in words when a Range was asked for and found ok
    kvstore::Revision revision;  // of the store; exact when the path is `ordered`, otherwise a replica's word
    consensus::Height executed;
    consensus::Hlc hlc;
    std::vector<consensus::ReplicaId> replicas;
    ReadPath path = ReadPath::fast;
    std::string why;
    bool denied = false;
    bool integrity = false;  // answers came, but no quorum of them agreed
};

struct Outgoing {
    consensus::ReplicaId to;
    wire::ClientMessage message;
};

struct SessionStatus {
    std::optional<consensus::ReplicaId> primary;
    consensus::View view;
    std::size_t in_flight = 0;
    std::size_t waiting = 0;
    std::uint64_t resends = 0;
};

class Session {
 public:
    // `membership` and `signer` outlive the session; `signer` is null in the crash fault model.
    Session(const consensus::Membership& membership, const crypto::Signer* signer, SessionOptions options);
    ~Session();

    using OnWrite = std::function<void(const WriteResult&)>;
    using OnRead = std::function<void(const ReadResult&)>;

    // Completions run inside receive() or tick(), once each.
    void write(kvstore::Operation operation, std::uint64_t now_ms, OnWrite done);
    // Linearizable (R1 to R4). With `stale_from`: one replica's word, as it is.
    void read(kvstore::Query query, std::uint64_t now_ms, OnRead done,
              std::optional<consensus::ReplicaId> stale_from = {});
    // As an operation in the order of writes at once: slower, but its revision is exact.
    void read_in_order(kvstore::Query query, std::uint64_t now_ms, OnRead done);

    // Tells the changes of keys until unwatch(), or until it ends by itself (client/watch.h). `id` is the caller's, new
    // for every watch; callbacks run as completions do.
    void watch(WatchId id, WatchOptions watched, std::uint64_t now_ms, OnWatch told);
    void unwatch(WatchId id, std::uint64_t now_ms);

    void connected(consensus::ReplicaId replica, std::uint64_t now_ms);
    void disconnected(consensus::ReplicaId replica, std::uint64_t now_ms);
    void receive(consensus::ReplicaId from, const wire::ReplicaMessage& message, std::uint64_t now_ms);
    // Call at least every 10 ms while anything is under way.
    void tick(std::uint64_t now_ms);
    // The owner has just tried in vain to reach every replica that is not connected. If fewer than w are connected, all
    // that was asked for at or before `asked_by_ms` and could be handed to nobody fails now: surely not applied.
    // `denied`: the replicas do not know this client's key.
    void unreachable(std::uint64_t asked_by_ms, const std::string& why, bool denied, std::uint64_t now_ms);
    // The owner has just tried in vain to reach this replica: stale reads that only it may answer fail now.
    void not_reached(consensus::ReplicaId replica, const std::string& why, bool denied, std::uint64_t now_ms);
    // What to send now, in order; empties the list.
    [[nodiscard]] std::vector<Outgoing> take_outgoing();
    [[nodiscard]] SessionStatus status() const;
    // Something is under way: tick() is needed.
    [[nodiscard]] bool busy() const;
    // Fails everything that is left; completions run inside. Nothing may be asked for afterwards.
    void close(const std::string& why);

 private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace loyal::client
