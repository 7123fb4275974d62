#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"
#include "tests/unit/wire/arbitrary.h"
#include "wire/codec.h"
#include "wire/loyal.pb.h"

namespace loyal::wire {
namespace {

using namespace test;

Result<ClientMessage> decode(const v1::ClientFrame& frame) {
    const std::string bytes = frame.SerializeAsString();
    return decode_client(view_of(bytes));
}

RC_GTEST_PROP(CodecClient, every_message_survives_the_wire, ()) {
    const ClientMessage message = any_client_message();
    const auto decoded = decode_client(encode(message));
    RC_ASSERT(decoded.has_value());
    const bool unchanged = same(message, *decoded);
    RC_ASSERT(unchanged);
}

RC_GTEST_PROP(CodecClient, cut_or_changed_frames_never_crash, ()) {
    Bytes bytes = encode(any_client_message());
    RC_PRE(!bytes.empty());
    const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
    (void)decode_client(ByteView(bytes).first(at));
    bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ *rc::gen::inRange<int>(1, 256));
    if (const auto decoded = decode_client(bytes)) {
        const auto again = decode_client(encode(*decoded));
        RC_ASSERT(again.has_value());
    }
}

TEST(CodecClient, a_truncated_envelope_is_refused_by_name) {
    rc::check([] {
        const Bytes good = encode(ClientMessage(Submit{any_envelope()}));
        v1::ClientFrame frame;
        RC_ASSERT(frame.ParseFromArray(good.data(), static_cast<int>(good.size())));
        frame.mutable_submit()->pop_back();
        const auto decoded = decode(frame);
        RC_ASSERT(!decoded.has_value());
        RC_ASSERT(decoded.error().message.rfind("SUBMIT", 0) == 0);
    });
}

TEST(CodecClient, bounds_are_checked) {
    v1::ClientFrame frame;
    frame.set_submit(std::string(limits::envelope_bytes_max + 1, 'x'));
    EXPECT_FALSE(decode(frame));
    frame.mutable_control()->set_command(std::string(limits::control_command_bytes_max, 'x'));
    EXPECT_TRUE(decode(frame));
    frame.mutable_control()->set_command(std::string(limits::control_command_bytes_max + 1, 'x'));
    EXPECT_FALSE(decode(frame));
    const Bytes query = kvstore::encode_query(kvstore::Range{{'k'}, {}, 0, false, false, false});
    frame.mutable_read()->set_query(string_of(query));
    EXPECT_TRUE(decode(frame));
    frame.mutable_read()->set_min_executed(limits::height_max + 1);
    EXPECT_FALSE(decode(frame));
    frame.mutable_read()->set_min_executed(0);
    frame.mutable_read()->set_query("");
    EXPECT_FALSE(decode(frame));
}

RC_GTEST_PROP(CodecClient, reads_and_nothing_else_begin_as_one, ()) {
    const ClientMessage message = any_client_message();
    RC_ASSERT(begins_as_read(encode(message)) == std::holds_alternative<Read>(message));
}

TEST(CodecClient, an_envelope_that_pretends_to_be_a_read_is_refused) {
    const Bytes query = kvstore::encode_query(kvstore::Range{{'k'}, {}, 0, false, false, false});
    rc::check([&query] {
        Bytes both = encode(ClientMessage(Read{1, *kvstore::decode_query(query), {}, true, false}));
        const Bytes envelope = encode(ClientMessage(Submit{any_envelope()}));
        both.insert(both.end(), envelope.begin(), envelope.end());
        RC_ASSERT(begins_as_read(both));
        const auto decoded = decode_client(both);
        RC_ASSERT(!decoded.has_value());
        RC_ASSERT(decoded.error().message.find("several messages") != std::string::npos);
    });
}

TEST(CodecClient, a_frame_over_the_limit_is_refused) {
    const Bytes bytes(limits::frame_bytes_max + 1, 0);
    EXPECT_FALSE(decode_client(bytes));
    EXPECT_FALSE(decode_replica(bytes));
    EXPECT_FALSE(decode_peer(context(), bytes));
}

}  // namespace
}  // namespace loyal::wire
