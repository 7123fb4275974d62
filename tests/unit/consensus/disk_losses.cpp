#include "tests/unit/consensus/disk_losses.h"

#include <algorithm>

namespace loyal::consensus::test {

void TestCluster::lose_disk(std::size_t replica) {
    Replica& self = replicas[replica];
    crash(replica);
    self.log.clear();
    self.executed_before_losses.push_back(std::move(self.executed_ever));
    self.executed_ever.clear();
    self.base = {};
    self.installed.reset();
    self.roots.clear();
    self.checkpoint_blocks.clear();
    self.log_first = Height();
    self.votes_lost = "the data folder is gone";
    restart(replica);
}

void TestCluster::roll_back(std::size_t replica, std::size_t records) {
    Replica& self = replicas[replica];
    crash(replica);
    self.log.erase(self.log.begin() + static_cast<std::ptrdiff_t>(records), self.log.end());
    self.executed_before_losses.push_back(std::move(self.executed_ever));
    self.executed_ever.clear();
    restart(replica);
}

void TestCluster::link_up(std::size_t one, std::size_t other) {
    for (const auto& [from, to] : {std::pair(one, other), std::pair(other, one)}) {
        if (replicas[from].core == nullptr || replicas[to].core == nullptr) {
            continue;
        }
        if (const auto echo = replicas[from].core->echo_for(ReplicaId(static_cast<std::uint16_t>(to)))) {
            inject(from, to, *echo);
        }
    }
}

Shape losing_shape(std::size_t n, FaultModel model, const std::vector<std::string>& rules_off,
                   std::set<std::size_t> traitors) {
    Shape shape = shape_of(rules_off, std::move(traitors));
    shape.n = n;
    shape.fault_model = model;
    shape.tune = [](Options& options) { options.recovery_rotation_ms = 1'000; };
    return shape;
}

bool works(TestCluster& cluster, const Members& members, const std::string& text, std::uint64_t seq,
           std::size_t ticks) {
    for (const std::size_t member : members) {
        cluster.submit(member, text, seq);
    }
    const auto done = [&](std::size_t member) { return cluster.executed_text(member, text); };
    for (std::size_t i = 0; i < ticks && !std::all_of(members.begin(), members.end(), done); ++i) {
        cluster.run(1, members);
    }
    cluster.check_agreement();
    return std::all_of(members.begin(), members.end(), done);
}

bool remember(TestCluster& cluster, const Members& members, const Members& replicas, std::size_t ticks) {
    const auto knows = [&](std::size_t replica) { return !cluster.status(replica).amnesiac; };
    for (std::size_t i = 0; i < ticks && !std::all_of(replicas.begin(), replicas.end(), knows); ++i) {
        cluster.run(1, members);
    }
    cluster.check_agreement();
    return std::all_of(replicas.begin(), replicas.end(), knows);
}

std::optional<std::string> contradiction_of(const TestCluster& cluster, std::size_t replica) {
    const ReplicaId self(static_cast<std::uint16_t>(replica));
    std::map<View, Bytes> changes;
    std::map<View, Bytes> new_views;
    std::map<std::pair<View, Height>, crypto::Digest> prepared, locked, proposed;
    const auto differs = [](auto& said, const auto& key, const auto& value) {
        const auto [known, fresh] = said.emplace(key, value);
        return !fresh && known->second != value;
    };
    for (const Packet& packet : cluster.sent_by(replica)) {
        if (const auto* change = std::get_if<ViewChange>(&packet.message)) {
            if (differs(changes, change->new_view, view_change_content(*change))) {
                return "two view changes to " + std::to_string(change->new_view.value);
            }
        } else if (const auto* view = std::get_if<NewView>(&packet.message)) {
            if (view->leader == self && differs(new_views, view->view, new_view_content(*view))) {
                return "two new views " + std::to_string(view->view.value);
            }
        } else if (const auto* vote = std::get_if<Vote>(&packet.message)) {
            if (differs(prepared, std::pair(vote->view, vote->prep.height), vote->prep.id) ||
                (vote->has_commit() && differs(locked, std::pair(vote->view, vote->com.height), vote->com.id))) {
                return "two votes of view " + std::to_string(vote->view.value);
            }
        } else if (const auto* propose = std::get_if<Propose>(&packet.message)) {
            const Header& header = propose->block->header;
            if (differs(proposed, std::pair(header.view, header.height), propose->block->id)) {
                return "two blocks of view " + std::to_string(header.view.value);
            }
        }
    }
    return std::nullopt;
}

std::size_t statements_of(const TestCluster& cluster, std::size_t replica, std::size_t since) {
    const ReplicaId self(static_cast<std::uint16_t>(replica));
    return static_cast<std::size_t>(std::count_if(
        cluster.history.begin() + static_cast<std::ptrdiff_t>(since), cluster.history.end(), [&](const Packet& packet) {
            const auto* view = std::get_if<NewView>(&packet.message);
            return packet.from == self && (is<Vote>(packet) || is<ViewChange>(packet) || is<Propose>(packet) ||
                                           is<PreVoteGrant>(packet) || (view != nullptr && view->leader == self));
        }));
}

}  // namespace loyal::consensus::test
