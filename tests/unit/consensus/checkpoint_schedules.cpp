#include "tests/unit/consensus/checkpoint_schedules.h"

#include <algorithm>

namespace loyal::consensus::test {
namespace {

constexpr std::size_t ticks_a_write = 3000;

// Sequence numbers only grow, so that every write is a new one.
void submit_next(TestCluster& cluster, const Members& members) {
    static thread_local std::uint64_t next_seq = 1000;
    const std::uint64_t seq = ++next_seq;
    for (const std::size_t member : members) {
        cluster.submit(member, "w" + std::to_string(seq), seq);
    }
}

}  // namespace

Shape checkpoint_shape(const std::vector<std::string>& rules_off, std::set<std::size_t> traitors,
                       FaultModel fault_model) {
    Shape shape = shape_of(rules_off, std::move(traitors));
    shape.fault_model = fault_model;
    shape.n = fault_model == FaultModel::crash ? 3 : 4;
    shape.window = 2;
    shape.checkpoint_interval = checkpoint_step;
    return shape;
}

bool run_until(TestCluster& cluster, const Members& members, const std::function<bool()>& done, std::size_t ticks) {
    for (std::size_t i = 0; i < ticks; ++i) {
        if (done()) {
            return true;
        }
        cluster.run(1, members);
    }
    return done();
}

bool write_until(TestCluster& cluster, Height height, const Members& members) {
    const auto reached = [&] {
        return std::all_of(members.begin(), members.end(),
                           [&](std::size_t member) { return cluster.status(member).committed.height >= height; });
    };
    for (int writes = 0; writes < 200 && !reached(); ++writes) {
        Height top;
        for (const std::size_t member : members) {
            top = std::max(top, cluster.status(member).committed.height);
        }
        if (top < height) {
            submit_next(cluster, members);
        }
        const bool moved = run_until(
            cluster, members,
            [&] {
                return reached() ||
                       (top < height && std::any_of(members.begin(), members.end(), [&](std::size_t member) {
                            return cluster.status(member).committed.height > top;
                        }));
            },
            ticks_a_write);
        if (!moved) {
            return false;
        }
    }
    return reached();
}

bool write_one(TestCluster& cluster, const Members& members) {
    Height top;
    for (const std::size_t member : members) {
        top = std::max(top, cluster.status(member).committed.height);
    }
    submit_next(cluster, members);
    return run_until(cluster, members, [&] {
        return std::all_of(members.begin(), members.end(), [&](std::size_t member) {
            return cluster.status(member).executed > top || !cluster.status(member).state_lost.empty();
        });
    });
}

bool same_state(const TestCluster& cluster, std::size_t one, std::size_t other) {
    const auto& a = cluster.replicas[one].digests;
    const auto& b = cluster.replicas[other].digests;
    const std::size_t height = std::min(a.size(), b.size()) - 1;
    return a[height] == b[height];
}

void traitor_proposes(TestCluster& cluster, const StateRoot& checkpoint) {
    const Status status = cluster.status(1);
    const BlockPtr parent = block_of(cluster, status.prep);
    const std::uint64_t height = status.prep.height.value + 1;
    const std::uint64_t digest = height - std::min(height, cluster.shape.window);
    const BlockPtr block =
        cluster.block(0, View(0), status.prep, parent == nullptr ? Hlc() : parent->header.hlc,
                      "t" + std::to_string(height), cluster.replicas[1].digests.at(digest), checkpoint);
    cluster.history.push_back({ReplicaId(0), ReplicaId(1), Propose{block, Height()}});
    for (std::size_t replica = 1; replica < cluster.shape.n; ++replica) {
        cluster.inject(0, replica, Propose{block, Height()});
    }
    cluster.deliver([](const Packet& packet) { return is<Vote>(packet) && packet.to != ReplicaId(0); });
}

}  // namespace loyal::consensus::test
