// Building blocks of directed schedules (docs/PROTOCOL.md §21), and the proof that a rule matters: each schedule runs
// twice, once with every rule, where nothing may go wrong, and once without the rule it is about, where it must.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "consensus/view_change_safety.h"
#include "tests/unit/consensus/test_cluster.h"

namespace loyal::consensus::test {

// True: the schedule ended in what the rule forbids. TestCluster::Unsafe counts as true.
using Schedule = std::function<bool(const std::vector<std::string>& rules_off)>;
// EXPECTs that the schedule is harmless with every rule and harmful without `rules`.
void expect_rule_matters(const Schedule& schedule, const std::vector<std::string>& rules);

inline Lock genesis_lock_of(const TestCluster& cluster) {
    return {LockView(), cluster.genesis()};
}

// ---- Filters of packets
using Members = std::set<std::size_t>;
template <class Message>
[[nodiscard]] bool is(const Packet& packet) {
    return std::holds_alternative<Message>(packet.message);
}
[[nodiscard]] bool among(const Packet& packet, const Members& members);
[[nodiscard]] bool from_to(const Packet& packet, std::size_t from, std::size_t to);
[[nodiscard]] bool is_prepare_vote(const Packet& packet);  // without a commit head
[[nodiscard]] bool is_commit_vote(const Packet& packet);

// Drops everything under way.
void cut(TestCluster& cluster);
// `replica` hears nothing until its timers make it promise a higher view. What it sends stays in the bag.
void time_out(TestCluster& cluster, std::size_t replica);
// Replicas `members` promise `view`, with the help of the traitor's VIEW-CHANGE (a lie: it has no lock). Nothing but
// their VIEW-CHANGEs is delivered, and those only among them.
void promise(TestCluster& cluster, const Members& members, View view, std::size_t traitor = 3);
// The same without a traitor.
void promise_alone(TestCluster& cluster, const Members& members, View view);
// The traitor leads `view`: a NEWVIEW from the members' VIEW-CHANGEs and its own (no lock), given to the members.
void lead(TestCluster& cluster, const Members& members, View view, std::size_t traitor = 3);
// The traitor votes, for each member by itself, for whatever that member prepared, and commits it too.
void echo(TestCluster& cluster, const Members& members, bool commit, std::size_t traitor = 3);
// Delivers among the members, the traitor echoing, until they commit what they have.
void settle(TestCluster& cluster, const Members& members, std::size_t traitor = 3);
// View change of `members` to `view` without the others, then a block with `text` is committed there.
void go_on_without(TestCluster& cluster, const Members& members, View view, const std::string& text,
                   std::size_t traitor = 3);

// n = 4, R3 a traitor: block "b" is committed and executed at R0 only; R1 holds a lock on it; R2 knows nothing.
// `valid` says whether R3's signatures are good.
BlockRef commit_at_r0_only(TestCluster& cluster, bool valid = true);
// The leader's next block reaches everybody in `to` and is prepared; no vote is delivered.
BlockRef propose_to(TestCluster& cluster, std::size_t leader, const Members& to, const std::string& text,
                    std::uint64_t seq = 1);
// Delivers the prepare votes for the members' heads to each other (commit heads stay in the bag).
void exchange_prepare_votes(TestCluster& cluster, const Members& members);

[[nodiscard]] Shape shape_of(const std::vector<std::string>& rules_off, std::set<std::size_t> traitors = {3});
// Votes that `replica` sent in `view`, newest last.
[[nodiscard]] std::vector<Vote> votes_of(const TestCluster& cluster, std::size_t replica, View view);
[[nodiscard]] BlockPtr block_of(const TestCluster& cluster, const BlockRef& ref);  // as somebody proposed it

}  // namespace loyal::consensus::test
