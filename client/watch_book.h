// WatchBook: the watches of a session: asks all replicas, compares what they tell, and tells what w of them agree on. A
// part of Session, without I/O.
//
// Each replica's word on a watch is a chain that begins where it was asked: the changes that come next, or that none
// comes up to some position. The next change of the watch is the one that is the next in w chains: at least one of them
// is an honest replica's. Whoever lies, is mute or late has no part in that. Chains that do not continue (a message was
// lost, overtaken) are asked for again from the position of the watch.
//
// Askings go out a few at a time: the next one when one was answered.
//
// Bounded: of each replica's words on all watches, limits::watch_ahead_bytes_max are kept until others confirm them; a
// chain that does not fit is given up until what is there is told.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "client/session.h"
#include "client/watch.h"
#include "config/limits.h"
#include "consensus/quorum.h"

namespace loyal::client {

struct WatchBounds {
    std::size_t ahead_bytes = limits::watch_ahead_bytes_max;
    std::uint64_t retry_ms = 100;
};

class WatchBook {
 public:
    WatchBook(const consensus::Quorum& quorum, WatchBounds bounds);
    ~WatchBook();

    // From behind `after`; who begins now calls begin() when it is known where that is.
    void add(WatchId id, WatchOptions options, OnWatch told, std::uint64_t now_ms);
    void begin(WatchId id, const kvstore::ChangeId& after);
    void remove(WatchId id);
    // It ends by itself, and is told so.
    void end(WatchId id, WatchNews::Ending ending, kvstore::Revision revision, std::string why);
    // Those that were asked for by then and that no replica has said a word on.
    void fail_unheard(std::uint64_t asked_by_ms, const std::string& why, bool denied);
    [[nodiscard]] const WatchOptions* find(WatchId id) const;
    [[nodiscard]] std::vector<WatchId> all() const;
    [[nodiscard]] std::size_t size() const { return watches_.size(); }

    void connected(consensus::ReplicaId replica, std::uint64_t now_ms);
    void disconnected(consensus::ReplicaId replica);
    void receive(consensus::ReplicaId from, const wire::WatchEvents& events, std::uint64_t now_ms);
    void receive(consensus::ReplicaId from, const wire::WatchProgress& progress, std::uint64_t now_ms);
    void receive(consensus::ReplicaId from, const wire::WatchEnd& end, std::uint64_t now_ms);
    void tick(std::uint64_t now_ms);

    // What to send and what to tell since the last call.
    [[nodiscard]] std::vector<Outgoing> take_outgoing() { return std::exchange(outgoing_, {}); }
    [[nodiscard]] bool has_news() const { return !news_.empty(); }
    // Calls the callbacks, which may add and remove watches.
    void tell_news();

    [[nodiscard]] std::size_t ahead_bytes(consensus::ReplicaId replica) const;
    // Of a watch: everything up to it was told.
    [[nodiscard]] kvstore::ChangeId position(WatchId id) const;

 private:
    struct Stream;
    struct Link;
    struct Watch;

    void ask(WatchId id, Watch& watch, std::size_t replica);
    void ask_later(WatchId id, Stream& stream, std::size_t replica, std::uint64_t delay_ms);
    void ask_due(std::size_t replica);
    void answered(WatchId id, Stream& stream, std::size_t replica);
    void forget_ahead(Stream& stream, std::size_t replica);
    void give_up(WatchId id, Stream& stream, std::size_t replica);
    [[nodiscard]] kvstore::ChangeId reach(const Stream& stream, std::size_t replica) const;
    void append(WatchId id, Stream& stream, std::size_t replica, const wire::WatchEvents& events);
    void settle_position(Watch& watch);
    void advance(WatchId id, Watch& watch);
    void drop_told(WatchId id, Watch& watch);
    [[nodiscard]] const kvstore::Change* agreed_next(const Watch& watch) const;
    void judge_endings(WatchId id, Watch& watch);
    [[nodiscard]] std::size_t endings(const Watch& watch, wire::WatchEndReason reason) const;
    void note(Link& link, std::uint64_t number) const;
    void apply_progress(Link& link) const;
    void give_up_on_answers(std::size_t replica);
    void ask_all_again(std::size_t replica, std::uint64_t delay_ms);
    void tick_link(std::size_t replica);
    void look_for_losses(std::size_t replica);
    void tick_watch(WatchId id, Watch& watch);
    void tell(WatchId id, WatchNews news);

    consensus::Quorum quorum_;
    WatchBounds bounds_;
    std::uint64_t now_ms_ = 0, scanned_ms_ = 0;
    std::uint64_t next_nonce_ = 1;
    std::vector<Link> links_;  // by replica
    std::map<WatchId, Watch> watches_;
    std::vector<Outgoing> outgoing_;
    std::vector<std::pair<WatchId, WatchNews>> news_;
};

}  // namespace loyal::client
