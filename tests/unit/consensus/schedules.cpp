#include "tests/unit/consensus/schedules.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace loyal::consensus::test {
namespace {

constexpr std::size_t patience_ticks = 6000;

bool run_schedule(const Schedule& schedule, const std::vector<std::string>& rules_off) {
    try {
        return schedule(rules_off);
    } catch (const TestCluster::Unsafe&) {
        return true;
    }
}

bool all_promised(const TestCluster& cluster, const Members& members, View view) {
    return std::all_of(members.begin(), members.end(),
                       [&](std::size_t member) { return cluster.status(member).promised >= view; });
}

}  // namespace

void expect_rule_matters(const Schedule& schedule, const std::vector<std::string>& rules) {
    std::string names;
    for (const std::string& rule : rules) {
        names += rule + " ";
    }
    EXPECT_FALSE(run_schedule(schedule, {})) << "goes wrong although every rule is kept";
    EXPECT_TRUE(run_schedule(schedule, rules)) << "does not show what happens without " << names;
}

bool among(const Packet& packet, const Members& members) {
    return members.contains(packet.from.value) && members.contains(packet.to.value);
}
bool from_to(const Packet& packet, std::size_t from, std::size_t to) {
    return packet.from.value == from && packet.to.value == to;
}
bool is_prepare_vote(const Packet& packet) {
    const auto* vote = std::get_if<Vote>(&packet.message);
    return vote != nullptr && !vote->has_commit();
}
bool is_commit_vote(const Packet& packet) {
    const auto* vote = std::get_if<Vote>(&packet.message);
    return vote != nullptr && vote->has_commit();
}

void cut(TestCluster& cluster) {
    cluster.bag.clear();
}

void time_out(TestCluster& cluster, std::size_t replica) {
    const View before = cluster.status(replica).promised;
    for (std::size_t i = 0; i < patience_ticks && cluster.status(replica).promised == before; ++i) {
        cluster.tick(replica);
    }
    cluster.drop([](const Packet& packet) { return is<Heartbeat>(packet) || is<Fetch>(packet); });
}

void promise_alone(TestCluster& cluster, const Members& members, View view) {
    const auto view_changes = [&](const Packet& packet) { return is<ViewChange>(packet) && among(packet, members); };
    for (std::size_t i = 0; i < patience_ticks && !all_promised(cluster, members, view); ++i) {
        for (const std::size_t member : members) {
            if (cluster.status(member).promised < view) {
                cluster.tick(member);
            }
        }
        cluster.deliver(view_changes);
    }
    cluster.drop([](const Packet& packet) { return is<Heartbeat>(packet) || is<Fetch>(packet) || is<Vote>(packet); });
}

void promise(TestCluster& cluster, const Members& members, View view, std::size_t traitor) {
    const ViewChange lie = cluster.view_change(traitor, view, genesis_lock_of(cluster), {View(0), cluster.genesis()});
    for (const std::size_t member : members) {
        cluster.inject(traitor, member, lie);
    }
    promise_alone(cluster, members, view);
}

void lead(TestCluster& cluster, const Members& members, View view, std::size_t traitor) {
    std::vector<ViewChange> changes{
        cluster.view_change(traitor, view, genesis_lock_of(cluster), {View(0), cluster.genesis()})};
    for (const std::size_t member : members) {
        const auto change = cluster.last_view_change(member);
        if (change && change->new_view == view) {
            changes.push_back(*change);
        }
    }
    const auto base = select_base(changes);
    std::optional<Certificate> certificate;
    for (const ViewChange& change : changes) {
        if (change.lock == *base && change.certificate) {
            certificate = change.certificate;
        }
    }
    const NewView message = cluster.new_view(traitor, view, changes, *base, certificate);
    for (const std::size_t member : members) {
        cluster.inject(traitor, member, message);
    }
}

void echo(TestCluster& cluster, const Members& members, bool commit, std::size_t traitor) {
    for (const std::size_t member : members) {
        const Status status = cluster.status(member);
        if (status.prep.height.value != 0) {
            cluster.inject(traitor, member,
                           cluster.vote(traitor, status.entered, status.prep, commit ? status.prep : BlockRef{}));
        }
    }
}

void settle(TestCluster& cluster, const Members& members, std::size_t traitor) {
    for (int round = 0; round < 20; ++round) {
        cluster.deliver([&](const Packet& packet) { return among(packet, members); });
        echo(cluster, members, true, traitor);
        for (const std::size_t member : members) {
            cluster.tick(member);  // bodies that are missing are asked for
        }
    }
    cluster.deliver([&](const Packet& packet) { return among(packet, members); });
}

void go_on_without(TestCluster& cluster, const Members& members, View view, const std::string& text,
                   std::size_t traitor) {
    cut(cluster);
    promise(cluster, members, view, traitor);
    if (leader_of(view, cluster.shape.n).value == traitor) {
        lead(cluster, members, view, traitor);
    }
    cluster.deliver([&](const Packet& packet) { return among(packet, members); });
    settle(cluster, members, traitor);
    const std::size_t leader = leader_of(view, cluster.shape.n).value;
    if (leader != traitor) {
        cluster.submit(leader, text, 77);
    } else {
        for (const std::size_t member : members) {
            const Status status = cluster.status(member);
            const BlockPtr parent = block_of(cluster, status.prep);
            cluster.inject(
                traitor, member,
                Propose{cluster.block(traitor, view, status.prep, parent == nullptr ? Hlc() : parent->header.hlc, text),
                        Height()});
        }
    }
    settle(cluster, members, traitor);
    cluster.check_agreement();
}

BlockRef commit_at_r0_only(TestCluster& cluster, bool valid) {
    const auto bad = [&](Vote vote) {
        vote.signature.bytes[5] ^= static_cast<std::uint8_t>(valid ? 0 : 1);
        return vote;
    };
    const BlockRef b = propose_to(cluster, 0, {1}, "b");
    cluster.deliver([](const Packet& packet) {
        return is_prepare_vote(packet) && (from_to(packet, 0, 1) || from_to(packet, 1, 0));
    });
    cluster.inject(3, 0, bad(cluster.vote(3, View(0), b)));
    cluster.inject(3, 1, bad(cluster.vote(3, View(0), b)));
    cluster.deliver([](const Packet& packet) { return is_commit_vote(packet) && from_to(packet, 1, 0); });
    cluster.inject(3, 0, bad(cluster.vote(3, View(0), b, b)));
    cut(cluster);
    return b;
}

BlockRef propose_to(TestCluster& cluster, std::size_t leader, const Members& to, const std::string& text,
                    std::uint64_t seq) {
    cluster.submit(leader, text, seq);
    const BlockRef block = cluster.status(leader).prep;
    cluster.deliver([&](const Packet& packet) {
        return is<Propose>(packet) && packet.from.value == leader && to.contains(packet.to.value);
    });
    cluster.drop([](const Packet& packet) { return is<Propose>(packet); });
    return block;
}

void exchange_prepare_votes(TestCluster& cluster, const Members& members) {
    cluster.deliver([&](const Packet& packet) { return is_prepare_vote(packet) && among(packet, members); });
}

Shape shape_of(const std::vector<std::string>& rules_off, std::set<std::size_t> traitors) {
    Shape shape;
    shape.rules_off = rules_off;
    shape.traitors = std::move(traitors);
    return shape;
}

std::vector<Vote> votes_of(const TestCluster& cluster, std::size_t replica, View view) {
    std::vector<Vote> found;
    for (const Packet& packet : cluster.history) {
        const auto* vote = std::get_if<Vote>(&packet.message);
        if (vote != nullptr && packet.from.value == replica && vote->view == view) {
            found.push_back(*vote);
        }
    }
    return found;
}

BlockPtr block_of(const TestCluster& cluster, const BlockRef& ref) {
    for (const Packet& packet : cluster.history) {
        const auto* propose = std::get_if<Propose>(&packet.message);
        if (propose != nullptr && propose->block->id == ref.id) {
            return propose->block;
        }
    }
    return nullptr;
}

}  // namespace loyal::consensus::test
