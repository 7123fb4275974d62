// The inside of Session: writes in session_writes.cpp, reads in session_reads.cpp, watches in session_watch.cpp, the
// rest in session.cpp.
#pragma once

#include <deque>
#include <list>
#include <unordered_map>

#include "client/cluster_clock.h"
#include "client/flight.h"
#include "client/read_quorum.h"
#include "client/session.h"
#include "client/watch_book.h"

namespace loyal::client {

// A stream is one SessionId: a gapless run of sequence numbers and the flights that carry them.
struct Stream {
    consensus::SessionId id;
    consensus::Seq next{1};
    std::list<Flight> flights;  // in order of seq0; all operations below the first one's are settled
    std::uint64_t last_used_ms = 0;
    bool stuck = false;  // nothing new goes on it
};

struct PendingRead {
    kvstore::Query query;
    std::uint64_t asked_ms = 0;
    std::uint64_t deadline_ms = 0;
    Session::OnRead done;
    std::optional<consensus::ReplicaId> stale_from;

    unsigned round = 0;  // 0 not sent, 1, 2, 3: as an ordered operation
    std::uint64_t round_ends_ms = 0;
    std::uint64_t rest_at_ms = 0;  // when those that were not asked at first are
    bool rest_asked = false;
    consensus::Height executed_min;
    ReplicaSet asked = 0;
    ReplicaSet asked_in_full = 0;
    ReplicaSet finished = 0;  // answered, refused, or gone
    ReplicaSet denied = 0;
    std::vector<std::optional<wire::ReadReply>> replies;
    std::size_t replies_most = 0;  // of any round
    std::string refusal;
};

struct Session::State {
    State(const consensus::Membership& membership, const crypto::Signer* signer, SessionOptions options);

    // ---- Writes
    void write(kvstore::Operation operation, std::uint64_t deadline_ms, OnWrite done);
    void launch_what_waits();
    [[nodiscard]] std::vector<Asked> next_batch();
    void launch(std::vector<Asked> batch);
    [[nodiscard]] bool sign(Flight& flight);
    void send(Flight& flight, consensus::ReplicaId to);
    void send_to_all(Flight& flight);
    void schedule(Flight& flight, bool first);
    void on_reply(consensus::ReplicaId from, const wire::Reply& reply);
    void on_refusal(consensus::ReplicaId from, const wire::Refusal& refusal);
    void on_agreed(Stream& stream, Flight& flight, Slot& slot, const Agreed& agreed);
    void on_not_executed(Stream& stream, Flight& flight, Slot& slot, const kvstore::Outcome& outcome);
    void ask_again_alone(Slot& slot, Flight& flight);
    void settle(Flight& flight, Slot& slot, WriteResult result);
    void settle_all(Flight& flight, const WriteResult& result);
    [[nodiscard]] WriteResult timed_out(const Flight& flight, const Slot& slot) const;
    void tick_writes();
    void resend(Flight& flight);
    void forget_finished();
    [[nodiscard]] Flight* find_flight(consensus::SessionId session, consensus::Seq seq, Stream** stream);
    void renew_stream();
    [[nodiscard]] bool may_launch();
    [[nodiscard]] bool writes_refused() const;
    void fail_what_waits();

    // ---- Reads
    void read(kvstore::Query query, OnRead done, std::optional<consensus::ReplicaId> stale_from, bool in_order = false);
    void start_reads();
    void ask(std::uint64_t nonce, PendingRead& read, consensus::ReplicaId replica);
    [[nodiscard]] bool ask_rest(std::uint64_t nonce, PendingRead& read);
    void begin_round(std::uint64_t nonce, PendingRead& read);
    void on_read_reply(consensus::ReplicaId from, const wire::ReadReply& reply);
    void on_read_refusal(consensus::ReplicaId from, const wire::Refusal& refusal);
    void judge(std::uint64_t nonce);
    void next_round(std::uint64_t nonce);
    void read_in_order(std::uint64_t nonce);
    void ordered_answer(std::uint64_t nonce, const WriteResult& result);
    void finish_read(std::uint64_t nonce, ReadResult result);
    void tick_reads();
    [[nodiscard]] ReadResult read_failure(const PendingRead& read) const;

    // ---- Watches
    void watch(WatchId id, WatchOptions watched, OnWatch told);
    void start_watches();
    void watches_start(const std::vector<WatchId>& ids, const WriteResult& result);
    void end_watches(WatchNews::Ending ending, const std::string& why);

    // ---- All
    void report(consensus::ReplicaId from, consensus::View view, consensus::Hlc hlc);
    void guess_primary();
    void run_completions();
    [[nodiscard]] std::string connection_text() const;

    const consensus::Membership& membership;
    const crypto::Signer* signer;
    const SessionOptions options;
    const consensus::Quorum quorum;
    std::uint64_t now_ms = 0;
    bool closed = false;

    ReplicaSet connected = 0;
    ReplicaSet without_room = 0;  // replicas that say that their disk is full
    ClusterClock clock;
    std::vector<std::optional<consensus::View>> views;  // by replica, as last reported
    consensus::View view;
    std::optional<consensus::ReplicaId> primary;

    std::deque<Asked> waiting;
    std::list<Stream> streams;  // the last one takes new operations, the others run out
    std::uint64_t stream_count = 0;
    std::uint64_t envelopes = 0;  // launched, for the probes
    std::uint64_t resends = 0;
    std::uint64_t latency_ms = 0;  // smoothed, of envelopes

    std::unordered_map<std::uint64_t, PendingRead> reads;  // by nonce
    std::deque<std::uint64_t> reads_waiting;
    std::size_t reads_under_way = 0;
    std::uint64_t reads_of_all;  // so many more are asked of everybody at once
    std::uint64_t next_nonce = 1;

    WatchBook watches;
    std::vector<WatchId> watches_to_start;  // from now on; one read in order tells where that is for all of them
    bool watches_starting = false;

    std::vector<Outgoing> outgoing;
    std::vector<std::pair<OnWrite, WriteResult>> writes_done;
    std::vector<std::pair<OnRead, ReadResult>> reads_done;
};

}  // namespace loyal::client
