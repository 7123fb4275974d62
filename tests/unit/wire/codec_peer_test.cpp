#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"
#include "tests/unit/wire/arbitrary.h"
#include "wire/codec.h"
#include "wire/loyal.pb.h"

namespace loyal::wire {
namespace {

using namespace test;
using namespace consensus;

std::string serialized(const v1::PeerFrame& frame) {
    return frame.SerializeAsString();
}
Result<PeerMessage> decode(const v1::PeerFrame& frame) {
    const std::string bytes = serialized(frame);
    return decode_peer(context(), view_of(bytes));
}

RC_GTEST_PROP(CodecPeer, every_message_survives_the_wire, ()) {
    const PeerMessage message = any_peer_message();
    RC_TAG(std::string(name_of(message)));
    const auto decoded = decode_peer(context(), encode(message));
    RC_ASSERT(decoded.has_value());
    const bool unchanged = same(message, *decoded);
    RC_ASSERT(unchanged);
}

RC_GTEST_PROP(CodecPeer, a_cut_frame_is_refused_or_another_message_never_a_crash, ()) {
    const Bytes whole = encode(any_peer_message());
    const auto size = *rc::gen::inRange<std::size_t>(0, whole.size());
    const auto decoded = decode_peer(context(), ByteView(whole).first(size));
    if (decoded) {
        // A prefix that ends between two Protobuf fields may be a message by itself; then it is one in full.
        const auto again = decode_peer(context(), encode(*decoded));
        RC_ASSERT(again.has_value());
    }
}

RC_GTEST_PROP(CodecPeer, a_changed_byte_is_refused_or_another_message_never_a_crash, ()) {
    Bytes bytes = encode(any_peer_message());
    RC_PRE(!bytes.empty());
    const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
    bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ *rc::gen::inRange<int>(1, 256));
    const auto decoded = decode_peer(context(), bytes);
    if (decoded) {
        const auto again = decode_peer(context(), encode(*decoded));
        RC_ASSERT(again.has_value());
    }
}

RC_GTEST_PROP(CodecPeer, garbage_never_crashes, (const std::vector<std::uint8_t>& garbage)) {
    (void)decode_peer(context(), garbage);
}

TEST(CodecPeer, a_block_body_is_copied_once_and_shared_by_its_envelopes) {
    rc::check([] {
        const BlockPtr block = any_block();
        const auto decoded = decode_peer(context(), encode(PeerMessage(Propose{block, Height(0)})));
        RC_ASSERT(decoded.has_value());
        const BlockPtr& got = std::get<Propose>(*decoded).block;
        for (const Envelope& envelope : got->envelopes) {
            const bool inside = envelope.bytes.data() >= got->body->data() &&
                                envelope.bytes.data() + envelope.bytes.size() <= got->body->data() + got->body->size();
            RC_ASSERT(inside);
        }
    });
}

TEST(CodecPeer, unknown_fields_are_ignored) {
    v1::PeerFrame frame;
    frame.mutable_heartbeat()->set_committed(7);
    std::string bytes = serialized(frame);
    bytes += std::string("\xF2\x3F\x03xyz", 6);  // field 1022, 3 bytes
    const auto decoded = decode_peer(context(), view_of(bytes));
    ASSERT_TRUE(decoded) << decoded.error().message;
    EXPECT_EQ(std::get<Heartbeat>(*decoded).committed, Height(7));
}

TEST(CodecPeer, a_frame_without_a_message_is_refused_by_name) {
    const auto empty = decode_peer(context(), {});
    ASSERT_FALSE(empty);
    EXPECT_EQ(empty.error().code, Errc::invalid_argument);
    const std::string unknown("\xF2\x3F\x03xyz", 6);
    EXPECT_FALSE(decode_peer(context(), view_of(unknown)));
}

TEST(CodecPeer, views_and_heights_out_of_range_are_refused) {
    v1::PeerFrame frame;
    frame.mutable_heartbeat()->set_entered(limits::view_max + 1);
    EXPECT_FALSE(decode(frame));
    frame.mutable_heartbeat()->set_entered(limits::view_max);
    EXPECT_TRUE(decode(frame));
    frame.mutable_heartbeat()->set_prepared(limits::height_max + 1);
    EXPECT_FALSE(decode(frame));
    v1::PeerFrame vote;
    vote.mutable_pre_vote()->set_new_view(limits::view_max + 1);
    EXPECT_FALSE(decode(vote));
}

TEST(CodecPeer, fetch_asks_for_a_bounded_number_of_whole_ids) {
    v1::PeerFrame frame;
    v1::Fetch& fetch = *frame.mutable_fetch();
    fetch.set_what(2);
    fetch.set_ids(std::string(32 * 2 * limits::window_max, 'x'));
    EXPECT_TRUE(decode(frame));
    fetch.mutable_ids()->append(32, 'x');
    EXPECT_FALSE(decode(frame));
    fetch.set_ids(std::string(33, 'x'));
    EXPECT_FALSE(decode(frame));
    fetch.set_ids("");
    fetch.set_what(4);
    EXPECT_FALSE(decode(frame));
    fetch.set_what(0);
    EXPECT_FALSE(decode(frame));
}

TEST(CodecPeer, a_block_whose_body_is_not_the_headers_is_refused) {
    rc::check([] {
        const Bytes good = encode(PeerMessage(Propose{any_block(), Height(0)}));
        v1::PeerFrame frame;
        RC_ASSERT(frame.ParseFromArray(good.data(), static_cast<int>(good.size())));
        frame.mutable_propose()->mutable_block()->mutable_body()->push_back('\0');
        RC_ASSERT(!decode(frame).has_value());
        frame.ParseFromArray(good.data(), static_cast<int>(good.size()));
        frame.mutable_propose()->mutable_block()->mutable_signature()->pop_back();
        RC_ASSERT(!decode(frame).has_value());
        frame.ParseFromArray(good.data(), static_cast<int>(good.size()));
        frame.mutable_propose()->mutable_block()->mutable_header()->push_back('\0');
        RC_ASSERT(!decode(frame).has_value());
    });
}

TEST(CodecPeer, an_oversized_relay_is_refused_before_it_is_parsed) {
    v1::PeerFrame frame;
    frame.set_relay(std::string(limits::envelope_bytes_max + 1, 'x'));
    const auto decoded = decode(frame);
    ASSERT_FALSE(decoded);
    EXPECT_NE(decoded.error().message.find("RELAY"), std::string::npos);
}

TEST(CodecPeer, canonical_parts_with_bytes_left_over_are_refused) {
    rc::check([] {
        const Bytes good = encode(PeerMessage(any_vote()));
        v1::PeerFrame frame;
        RC_ASSERT(frame.ParseFromArray(good.data(), static_cast<int>(good.size())));
        frame.mutable_vote()->push_back('\0');
        RC_ASSERT(!decode(frame).has_value());
    });
}

}  // namespace
}  // namespace loyal::wire
