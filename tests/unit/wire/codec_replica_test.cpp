#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "config/limits.h"
#include "tests/unit/wire/arbitrary.h"
#include "wire/codec.h"
#include "wire/loyal.pb.h"

namespace loyal::wire {
namespace {

using namespace test;

Result<ReplicaMessage> decode(const v1::ReplicaFrame& frame) {
    const std::string bytes = frame.SerializeAsString();
    return decode_replica(view_of(bytes));
}

RC_GTEST_PROP(CodecReplica, every_message_survives_the_wire, ()) {
    const ReplicaMessage message = any_replica_message();
    const auto decoded = decode_replica(encode(message));
    RC_ASSERT(decoded.has_value());
    const bool unchanged = same(message, *decoded);
    RC_ASSERT(unchanged);
}

RC_GTEST_PROP(CodecReplica, cut_or_changed_frames_never_crash, ()) {
    Bytes bytes = encode(any_replica_message());
    RC_PRE(!bytes.empty());
    const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
    (void)decode_replica(ByteView(bytes).first(at));
    bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ *rc::gen::inRange<int>(1, 256));
    if (const auto decoded = decode_replica(bytes)) {
        const auto again = decode_replica(encode(*decoded));
        RC_ASSERT(again.has_value());
    }
}

// What a client may ask for at once is more than a frame holds; nothing of it gets lost but the bulk.
RC_GTEST_PROP(CodecReplica, a_reply_is_cut_into_frames_that_all_fit, ()) {
    Reply reply{any_replica(), consensus::SessionId(5), any_view(), consensus::Hlc(9), {}};
    const auto count = *rc::gen::inRange<std::uint64_t>(0, 20);
    for (std::uint64_t seq = 1; seq <= count; ++seq) {
        kvstore::Outcome outcome = any_outcome();
        outcome.seq = consensus::Seq(seq);
        outcome.result.resize(*rc::gen::inRange<std::size_t>(0, 3000));
        reply.outcomes.push_back({outcome.seq, outcome, kvstore::outcome_digest(outcome)});
    }
    constexpr std::size_t frame_max = 2048;
    std::set<std::uint64_t> seen;
    for (const Bytes& frame : encode_frames(ReplicaMessage(reply), frame_max)) {
        RC_ASSERT(frame.size() <= frame_max);
        const auto part = decode_replica(frame);
        RC_ASSERT(part.has_value());
        for (const OutcomeReply& each : std::get<Reply>(*part).outcomes) {
            const bool first = seen.insert(each.seq.value).second;
            RC_ASSERT(first);
            const OutcomeReply& original = reply.outcomes[each.seq.value - 1];
            RC_ASSERT(each.digest == original.digest);
            if (original.outcome->result.size() < 1500) {
                const bool whole = each.outcome == original.outcome;
                RC_ASSERT(whole);
            }
        }
    }
    RC_ASSERT(seen.size() == reply.outcomes.size());
}

TEST(CodecReplica, a_read_result_too_long_for_a_frame_goes_as_its_digest) {
    ReadReply reply;
    reply.digest = crypto::digest_of("read", view_of("x"));
    reply.result = Bytes(limits::frame_bytes_max, 7);
    const auto frames = encode_frames(ReplicaMessage(reply));
    ASSERT_EQ(frames.size(), 1U);
    const auto decoded = decode_replica(frames.front());
    ASSERT_TRUE(decoded);
    EXPECT_FALSE(std::get<ReadReply>(*decoded).result);
    EXPECT_EQ(std::get<ReadReply>(*decoded).digest, reply.digest);
}

TEST(CodecReplica, more_outcomes_than_an_envelope_holds_are_refused) {
    v1::ReplicaFrame frame;
    for (std::size_t i = 0; i < limits::envelope_ops_max; ++i) {
        frame.mutable_reply()->add_outcomes()->set_digest(std::string(32, 'd'));
    }
    EXPECT_TRUE(decode(frame));
    frame.mutable_reply()->add_outcomes()->set_digest(std::string(32, 'd'));
    EXPECT_FALSE(decode(frame));
}

TEST(CodecReplica, bounds_are_checked) {
    v1::ReplicaFrame frame;
    frame.mutable_welcome()->set_replica(limits::replicas_max);
    EXPECT_FALSE(decode(frame));
    frame.mutable_welcome()->set_replica(0);
    frame.mutable_welcome()->set_view(limits::view_max + 1);
    EXPECT_FALSE(decode(frame));
    frame.mutable_refusal()->set_code(0);
    EXPECT_FALSE(decode(frame));
    frame.mutable_refusal()->set_code(10);
    EXPECT_FALSE(decode(frame));
    frame.mutable_refusal()->set_code(9);
    EXPECT_TRUE(decode(frame));
    frame.mutable_refusal()->set_why(std::string(513, 'w'));
    EXPECT_FALSE(decode(frame));
    frame.mutable_reply()->add_outcomes()->set_digest(std::string(31, 'd'));
    EXPECT_FALSE(decode(frame));
    frame.mutable_reply()->mutable_outcomes(0)->set_digest(std::string(32, 'd'));
    frame.mutable_reply()->mutable_outcomes(0)->mutable_outcome()->set_status(99);
    EXPECT_FALSE(decode(frame));
    frame.mutable_status_reply()->set_json(std::string((256U << 10U) + 1, 'j'));
    EXPECT_FALSE(decode(frame));
    frame.mutable_control_reply()->set_text(std::string(limits::control_text_bytes_max + 1, 'f'));
    EXPECT_FALSE(decode(frame));
    frame.mutable_read_reply()->set_digest(std::string(32, 'd'));
    EXPECT_TRUE(decode(frame));
    frame.mutable_read_reply()->set_result("hidden");
    EXPECT_FALSE(decode(frame));
}

TEST(CodecReplica, long_texts_are_cut_before_they_leave) {
    const Refusal refusal{consensus::ReplicaId(1), RefusalCode::busy, false, {}, 1, std::string(5'000, 'w')};
    const auto decoded = decode_replica(encode(ReplicaMessage(refusal)));
    ASSERT_TRUE(decoded) << decoded.error().message;
    EXPECT_EQ(std::get<Refusal>(*decoded).why.size(), 512U);
}

}  // namespace
}  // namespace loyal::wire
