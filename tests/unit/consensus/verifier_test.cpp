// Every reason for which the verifier refuses a message, and that nothing else about the message was wrong.
#include <gtest/gtest.h>

#include "config/limits.h"
#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {
namespace {

class Verifying : public ::testing::Test {
 protected:
    Verifying() {
        for (const std::string text : {"1", "2", "3"}) {
            const BlockRef parent = chain.empty() ? cluster.genesis() : chain.back()->ref();
            chain.push_back(cluster.block(0, View(0), parent, chain.empty() ? Hlc() : chain.back()->header.hlc, text));
        }
    }
    [[nodiscard]] std::string why_not(const PeerMessage& message, std::size_t from) const {
        const auto verdict = cluster.verifier->verify(message, ReplicaId(static_cast<std::uint16_t>(from)));
        return verdict ? "" : verdict.error().message;
    }
    [[nodiscard]] std::string why_not(const Certificate& certificate) const {
        const auto verdict = cluster.verifier->check_certificate(certificate);
        return verdict ? "" : verdict.error().message;
    }
    // For block 1, one vote on it, two on block 3.
    [[nodiscard]] Certificate certificate(CertKind kind = CertKind::prepare) const {
        const BlockRef com = kind == CertKind::commit ? chain[0]->ref() : BlockRef{};
        const BlockRef com3 = kind == CertKind::commit ? chain[2]->ref() : BlockRef{};
        return {kind,
                View(0),
                chain[0]->header,
                {chain[1]->header, chain[2]->header},
                {cluster.vote(0, View(0), chain[2]->ref(), com3), cluster.vote(1, View(0), chain[2]->ref(), com3),
                 cluster.vote(2, View(0), chain[0]->ref(), com)}};
    }
    [[nodiscard]] ViewChange change(std::size_t voter, std::uint64_t view) const {
        return cluster.view_change(voter, View(view), {LockView(View(0)), chain[0]->ref()}, {View(0), chain[2]->ref()},
                                   certificate());
    }
    [[nodiscard]] NewView new_view() const {
        return cluster.new_view(1, View(1), {change(0, 1), change(1, 1), change(2, 1)},
                                {LockView(View(0)), chain[0]->ref()}, certificate());
    }
    [[nodiscard]] NewView signed_again(NewView message) const {
        return cluster.new_view(message.leader.value, message.view, message.view_changes, message.base,
                                message.certificate);
    }

    TestCluster cluster{Shape{4, FaultModel::byzantine, 8, {}, {0, 1, 2, 3}, 10}};
    std::vector<BlockPtr> chain;
};

TEST_F(Verifying, votes) {
    Vote vote = cluster.vote(1, View(0), chain[1]->ref(), chain[0]->ref());
    EXPECT_EQ(why_not(vote, 1), "");
    EXPECT_EQ(why_not(vote, 2), "vote in another replica's name");
    EXPECT_EQ(why_not(vote, 9), "sender is not a replica of this cluster");
    vote.view = View(1);
    EXPECT_EQ(why_not(vote, 1), "bad signature on a vote");
    EXPECT_EQ(why_not(cluster.vote(1, View(0), chain[0]->ref(), chain[1]->ref()), 1),
              "vote with a commit head beyond its prepare head");
    const BlockPtr sibling = cluster.block(0, View(0), cluster.genesis(), Hlc(), "sibling");
    EXPECT_EQ(why_not(cluster.vote(1, View(0), chain[0]->ref(), sibling->ref()), 1),
              "vote with a commit head beyond its prepare head");
}

TEST_F(Verifying, a_signature_of_one_kind_is_none_of_another) {
    Vote vote = cluster.vote(1, View(0), chain[1]->ref());
    for (const SignDomain domain : {SignDomain::propose, SignDomain::view_change, SignDomain::new_view,
                                    SignDomain::submit, SignDomain::receipt, SignDomain::hello}) {
        vote.signature = cluster.signers[1]->sign(signed_bytes(cluster.membership.context, domain, vote_content(vote)));
        EXPECT_EQ(why_not(vote, 1), "bad signature on a vote");
    }
}

TEST_F(Verifying, proposals) {
    EXPECT_EQ(why_not(Propose{chain[0], Height()}, 0), "");
    EXPECT_EQ(why_not(Propose{chain[0], Height()}, 1), "proposal from a replica that does not lead its view");
    auto forged = std::make_shared<Block>(*chain[0]);
    forged->signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(Propose{forged, Height()}, 0), "bad signature on a proposal");
    auto unsigned_envelope = std::make_shared<Block>(*chain[0]);
    unsigned_envelope->envelopes[0].signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(Propose{unsigned_envelope, Height()}, 0), "bad signature on an envelope");
}

TEST_F(Verifying, envelopes) {
    const Envelope good = cluster.envelope("x");
    EXPECT_TRUE(cluster.verifier->verify_envelope(good, good.client).has_value());
    ClientId other = good.client;
    other.bytes[0] ^= 1U;
    EXPECT_EQ(cluster.verifier->verify_envelope(good, other).error().message, "envelope in another client's name");
    EXPECT_EQ(why_not(Relay{good}, 2), "");
    Envelope forged = good;
    forged.signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(Relay{forged}, 2), "bad signature on an envelope");
}

TEST_F(Verifying, certificates) {
    EXPECT_EQ(why_not(certificate()), "");
    EXPECT_EQ(why_not(certificate(CertKind::commit)), "");
    Certificate broken = certificate();
    broken.votes.pop_back();
    EXPECT_EQ(why_not(broken), "certificate without a quorum");
    broken = certificate();
    broken.votes[2] = broken.votes[1];
    EXPECT_EQ(why_not(broken), "certificate with a vote of another view, an unknown voter, or twice the same");
    broken = certificate();
    broken.votes[0] = cluster.vote(0, View(1), chain[2]->ref());
    EXPECT_EQ(why_not(broken), "certificate with a vote of another view, an unknown voter, or twice the same");
    broken = certificate();
    broken.votes[0].voter = ReplicaId(40);
    EXPECT_EQ(why_not(broken), "certificate with a vote of another view, an unknown voter, or twice the same");
    broken = certificate();
    broken.votes[0].signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(broken), "bad signature on a vote");
    broken = certificate();
    broken.path.pop_back();
    EXPECT_EQ(why_not(broken), "certificate with a vote off its path");
    broken = certificate();
    std::swap(broken.path[0], broken.path[1]);
    EXPECT_EQ(why_not(broken), "certificate path is not hash-linked");
    broken = certificate();
    broken.target = cluster.block(0, View(0), cluster.genesis(), Hlc(), "sibling")->header;
    EXPECT_EQ(why_not(broken), "certificate path is not hash-linked");
    broken = certificate();
    const BlockPtr sibling = cluster.block(0, View(0), chain[1]->ref(), Hlc(), "sibling");
    broken.votes[0] = cluster.vote(0, View(0), sibling->ref());
    EXPECT_EQ(why_not(broken), "certificate with a vote for another chain");
    broken = certificate();
    broken.path.resize(9);
    EXPECT_EQ(why_not(broken), "certificate path longer than the window");
    broken = certificate(CertKind::commit);
    broken.votes[2] = cluster.vote(2, View(0), chain[0]->ref());  // prepares, does not commit
    EXPECT_EQ(why_not(broken), "certificate with a vote off its path");
    broken = certificate();
    broken.target.height = Height(0);
    EXPECT_EQ(why_not(broken), "certificate out of bounds");
    broken = certificate();
    broken.votes.resize(5, broken.votes[0]);
    EXPECT_EQ(why_not(broken), "certificate out of bounds");
}

// Votes of view 1 for block 3, a block of view 0 that is the base of view 1, certify block 3 and nothing below.
TEST_F(Verifying, prepare_certificates_stop_at_the_base) {
    std::vector<Vote> votes;
    for (std::size_t voter = 0; voter < 3; ++voter) {
        votes.push_back(cluster.vote(voter, View(1), chain[2]->ref(), chain[2]->ref()));
    }
    EXPECT_EQ(why_not(Certificate{CertKind::prepare, View(1), chain[2]->header, {}, votes}), "");
    EXPECT_EQ(why_not(Certificate{CertKind::prepare, View(1), chain[1]->header, {chain[2]->header}, votes}),
              "prepare certificate below the base of its view");
    EXPECT_EQ(why_not(Certificate{CertKind::commit, View(1), chain[1]->header, {chain[2]->header}, votes}), "")
        << "what is committed is committed with all below it";
    const BlockPtr next = cluster.block(1, View(1), chain[2]->ref(), chain[2]->header.hlc, "next");
    votes.clear();
    for (std::size_t voter = 0; voter < 3; ++voter) {
        votes.push_back(cluster.vote(voter, View(1), next->ref()));
    }
    EXPECT_EQ(why_not(Certificate{CertKind::prepare, View(1), chain[2]->header, {next->header}, votes}), "")
        << "the base itself, through a block of the view";
    EXPECT_EQ(
        why_not(Certificate{CertKind::prepare, View(1), chain[1]->header, {chain[2]->header, next->header}, votes}),
        "prepare certificate below the base of its view");
}

TEST_F(Verifying, view_changes) {
    EXPECT_EQ(why_not(change(1, 1), 1), "");
    EXPECT_EQ(why_not(change(1, 1), 2), "view change in another's name");
    ViewChange broken = change(1, 1);
    broken.signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(broken, 1), "bad signature on a view change");
    broken = change(1, 1);
    broken.certificate.reset();
    EXPECT_EQ(why_not(broken, 1), "view change whose certificate does not prove its lock");
    EXPECT_EQ(why_not(cluster.view_change(1, View(1), {LockView(View(0)), chain[1]->ref()}, {View(0), chain[2]->ref()},
                                          certificate()),
                      1),
              "view change whose certificate does not prove its lock");
    EXPECT_EQ(why_not(cluster.view_change(1, View(1), {LockView(View(0)), {Height(7), chain[0]->id}},
                                          {View(0), chain[2]->ref()}, certificate()),
                      1),
              "view change whose certificate does not prove its lock");
    EXPECT_EQ(why_not(cluster.view_change(1, View(1), {LockView(View(0)), chain[0]->ref()}, {View(0), chain[2]->ref()},
                                          certificate(CertKind::commit)),
                      1),
              "view change whose certificate does not prove its lock");
    const std::string not_earlier = "view change whose lock is not of an earlier view";
    EXPECT_EQ(why_not(cluster.view_change(1, View(1), {LockView(View(1)), chain[0]->ref()}, {View(0), chain[2]->ref()},
                                          certificate()),
                      1),
              not_earlier);
    EXPECT_EQ(why_not(cluster.view_change(1, View(0), genesis_lock_of(cluster), {View(0), cluster.genesis()}), 1),
              not_earlier);
    EXPECT_EQ(why_not(cluster.view_change(1, View(2), genesis_lock_of(cluster), {View(2), cluster.genesis()}), 1),
              not_earlier);
    EXPECT_EQ(why_not(cluster.view_change(1, View(1), {LockView(), chain[0]->ref()}, {View(0), chain[2]->ref()}), 1),
              "view change with a false genesis lock");
    EXPECT_EQ(
        why_not(cluster.view_change(1, View(1), genesis_lock_of(cluster), {View(0), chain[2]->ref()}, certificate()),
                1),
        "view change with a certificate that it does not need");
}

TEST_F(Verifying, new_views) {
    EXPECT_EQ(why_not(new_view(), 1), "");
    EXPECT_EQ(why_not(new_view(), 3), "") << "anybody may hand it on";
    NewView broken = new_view();
    broken.leader = ReplicaId(2);
    EXPECT_EQ(why_not(signed_again(broken), 2), "new view not from the leader of its view");
    broken = new_view();
    broken.view_changes.pop_back();
    EXPECT_EQ(why_not(signed_again(broken), 1), "new view without a quorum of view changes");
    const std::string bad_set = "new view with a view change of another view, an unknown voter, or twice the same";
    broken = new_view();
    broken.view_changes[2] = broken.view_changes[1];
    EXPECT_EQ(why_not(signed_again(broken), 1), bad_set);
    broken = new_view();
    broken.view_changes[2] = change(2, 2);
    EXPECT_EQ(why_not(signed_again(broken), 1), bad_set);
    broken = new_view();
    broken.view_changes[2].voter = ReplicaId(50);
    EXPECT_EQ(why_not(signed_again(broken), 1), bad_set);
    broken = new_view();
    broken.view_changes[2].signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(signed_again(broken), 1), "bad signature on a view change");
    broken = new_view();
    broken.base = genesis_lock_of(cluster);
    EXPECT_EQ(why_not(signed_again(broken), 1), "new view whose base is not the one highest lock of its view changes");
    broken = new_view();
    broken.certificate.reset();
    EXPECT_EQ(why_not(signed_again(broken), 1), "new view whose certificate does not prove its base");
    broken = new_view();
    broken.certificate->votes.pop_back();
    EXPECT_EQ(why_not(signed_again(broken), 1), "certificate without a quorum");
    broken = new_view();
    broken.signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(broken, 1), "bad signature on a new view");
    broken = new_view();
    broken.view_changes.resize(5, broken.view_changes[0]);
    EXPECT_EQ(why_not(signed_again(broken), 1), "new view with too many view changes");
    NewView from_genesis = new_view();
    from_genesis.base = genesis_lock_of(cluster);
    for (ViewChange& each : from_genesis.view_changes) {
        each = cluster.view_change(each.voter.value, View(1), genesis_lock_of(cluster), {View(0), cluster.genesis()});
    }
    EXPECT_EQ(why_not(signed_again(from_genesis), 1), "new view with a certificate that it does not need");
    from_genesis.certificate.reset();
    EXPECT_EQ(why_not(signed_again(from_genesis), 1), "");
}

TEST_F(Verifying, fetched_blocks) {
    const auto answer = [&] {
        Blocks blocks;
        blocks.headers = {chain[0]->header};
        blocks.commit = certificate(CertKind::commit);
        blocks.blocks = chain;
        return blocks;
    };
    EXPECT_EQ(why_not(answer(), 2), "");
    Blocks broken = answer();
    broken.commit.reset();
    EXPECT_EQ(why_not(broken, 2), "fetched headers without their commit certificate");
    broken = answer();
    broken.commit->kind = CertKind::prepare;
    EXPECT_EQ(why_not(broken, 2), "fetched headers without their commit certificate");
    broken = answer();
    broken.commit->votes.pop_back();
    EXPECT_EQ(why_not(broken, 2), "certificate without a quorum");
    broken = answer();
    broken.headers = {chain[0]->header, chain[2]->header};
    EXPECT_EQ(why_not(broken, 2), "fetched headers are not hash-linked");
    broken = answer();
    auto forged = std::make_shared<Block>(*chain[1]);
    forged->signature.bytes[0] ^= 1U;
    broken.blocks = {forged};
    EXPECT_EQ(why_not(broken, 2), "fetched block without its leader's signature");
    broken = answer();
    broken.prepare = certificate(CertKind::commit);
    EXPECT_EQ(why_not(broken, 2), "fetched blocks with a bad prepare certificate");
    broken = answer();
    broken.headers.resize(limits::fetch_blocks_max + 1);
    EXPECT_EQ(why_not(broken, 2), "too many blocks");
    Fetch greedy{Fetch::What::by_id, Height(), {}};
    greedy.ids.resize(2 * limits::window_max);
    EXPECT_EQ(why_not(greedy, 2), "");
    greedy.ids.resize(2 * limits::window_max + 1);
    EXPECT_EQ(why_not(greedy, 2), "fetch of too many blocks");
}

}  // namespace
}  // namespace loyal::consensus::test
