// What refused frames prove, down from their bytes (evidence E5, E6), and that damage on the way convicts nobody.
#include "replica/refused_frames.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"
#include "consensus/quorum.h"
#include "tests/unit/replica/node_world.h"
#include "wire/codec.h"

namespace loyal::replica::test {
namespace {

using consensus::EvidenceKind;

class RefusedFrames : public ::testing::Test {
 protected:
    // A PROPOSE of replica 0 in view 0 with any body: a well-formed block is encoded, and its body replaced.
    [[nodiscard]] Bytes propose(const Bytes& body, std::uint32_t envelopes, bool bind_body = true) const {
        auto block = std::make_shared<consensus::Block>();
        block->header.height = Height(1);
        block->header.body_root = consensus::body_root_of(bind_body ? body : Bytes{});
        block->header.body_bytes = static_cast<std::uint32_t>(body.size());
        block->header.envelopes = envelopes;
        block->id = consensus::header_id(cluster.membership.context, block->header);
        block->signature = cluster.signers[0]->sign(
            consensus::signed_bytes(cluster.membership.context, consensus::SignDomain::propose, block->id.view()));
        block->body = std::make_shared<const Bytes>(body);
        return wire::encode(consensus::PeerMessage(consensus::Propose{block, Height()}));
    }
    [[nodiscard]] Bytes good_body() const { return consensus::make_body({cluster.envelope(1), cluster.envelope(2)}); }
    [[nodiscard]] std::optional<consensus::Evidence> proof(const Bytes& frame) const {
        const auto message = wire::decode_peer(cluster.membership.context, frame);
        EXPECT_FALSE(message && cluster.verifier->verify(*message, replica(0))) << "this frame is not refused";
        auto found = proof_in_refused(*cluster.verifier, frame);
        EXPECT_TRUE(!found || consensus::check_evidence(*cluster.verifier, *found));
        return found;
    }

    Cluster cluster{4};
};

TEST_F(RefusedFrames, a_body_that_is_no_body_convicts_the_leader_who_signed_for_it) {
    const auto found = proof(propose(Bytes(64, 9), 1));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->kind, EvidenceKind::bad_proposal);
    EXPECT_EQ(found->culprit, replica(0));
    EXPECT_TRUE(proof(propose(good_body(), 3))) << "it counts three envelopes of two";
}

TEST_F(RefusedFrames, so_does_an_envelope_that_its_client_never_signed) {
    Bytes body = good_body();
    body.back() ^= 1U;
    const auto found = proof(propose(body, 2));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->kind, EvidenceKind::bad_proposal);
}

TEST_F(RefusedFrames, a_body_that_the_leader_did_not_sign_for_convicts_nobody) {
    EXPECT_FALSE(proof(propose(Bytes(64, 9), 1, false)));
    Bytes empty_frame;
    EXPECT_FALSE(proof_in_refused(*cluster.verifier, empty_frame));
}

TEST_F(RefusedFrames, nothing_is_signed_in_the_crash_model) {
    const Cluster crash(3, consensus::FaultModel::crash);
    EXPECT_FALSE(proof_in_refused(*crash.verifier, propose(Bytes(64, 9), 1)));
}

TEST_F(RefusedFrames, a_node_tells_of_them_once) {
    Port port;
    consensus::Recovered fresh;
    NodeOptions options;
    options.core.self = replica(1);
    Node node(options, *cluster.verifier, *cluster.signers[1], fresh, port);
    node.start(1'700'000'000'000);
    const auto found = proof(propose(Bytes(64, 9), 1));
    ASSERT_TRUE(found);
    node.refused_peer_message(*found);
    node.refused_peer_message(*found);
    ASSERT_EQ(port.accusations.size(), 1U);
    EXPECT_EQ(port.accusations[0].evidence, *found);

    Port other_port;
    Node again(options, *cluster.verifier, *cluster.signers[1], fresh, other_port);
    again.remember({*found});
    again.start(1'700'000'000'000);
    again.refused_peer_message(*found);
    EXPECT_TRUE(other_port.accusations.empty()) << "the log has it already";
}

// A correct leader's frame, changed anywhere on its way.
RC_GTEST_FIXTURE_PROP(RefusedFrames, damage_convicts_no_correct_leader, ()) {
    Bytes frame = propose(good_body(), 2);
    for (int i = *rc::gen::inRange(1, 6); i > 0; --i) {
        const auto at = *rc::gen::inRange<std::size_t>(0, frame.size());
        frame[at] = *rc::gen::arbitrary<std::uint8_t>();
    }
    RC_ASSERT_FALSE(proof_in_refused(*cluster.verifier, frame).has_value());
}

}  // namespace
}  // namespace loyal::replica::test
