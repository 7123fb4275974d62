#include "replica/return_routes.h"

#include <gtest/gtest.h>

namespace loyal::replica {
namespace {

using consensus::ClientId;
using consensus::SessionId;
using Links = std::vector<std::uint64_t>;

ClientId client(std::uint8_t name) {
    ClientId id;
    id.bytes.fill(name);
    return id;
}

class ReturnRoutesTest : public ::testing::Test {
 protected:
    ReturnRoutes routes_{3};
};

// A backup sees most sessions only in blocks.
TEST_F(ReturnRoutesTest, an_unknown_session_is_answered_over_all_links_of_its_client) {
    routes_.connected(1, client(1));
    routes_.connected(2, client(1));
    routes_.connected(3, client(2));
    EXPECT_EQ(routes_.links(client(1), SessionId(5)), (Links{1, 2}));
    EXPECT_TRUE(routes_.links(client(9), SessionId(5)).empty());
}

TEST_F(ReturnRoutesTest, a_session_is_answered_where_it_was_seen_last) {
    routes_.connected(1, client(1));
    routes_.connected(2, client(1));
    routes_.used(1, client(1), SessionId(5));
    routes_.used(2, client(1), SessionId(6));
    EXPECT_EQ(routes_.links(client(1), SessionId(5)), (Links{1}));
    routes_.used(2, client(1), SessionId(5));
    EXPECT_EQ(routes_.links(client(1), SessionId(5)), (Links{2}));
}

TEST_F(ReturnRoutesTest, a_later_link_that_sent_nothing_may_be_the_reconnected_session) {
    routes_.connected(1, client(1));
    routes_.used(1, client(1), SessionId(5));
    routes_.connected(2, client(1));
    EXPECT_EQ(routes_.links(client(1), SessionId(5)), (Links{1, 2}));
    routes_.used(2, client(1), SessionId(6));
    EXPECT_EQ(routes_.links(client(1), SessionId(5)), (Links{1}));
}

TEST_F(ReturnRoutesTest, a_closed_link_is_forgotten) {
    routes_.connected(1, client(1));
    routes_.connected(2, client(1));
    routes_.used(1, client(1), SessionId(5));
    routes_.disconnected(1);
    EXPECT_EQ(routes_.links(client(1), SessionId(5)), (Links{2}));
    EXPECT_EQ(routes_.sessions(), 0U);
    routes_.disconnected(2);
    EXPECT_TRUE(routes_.links(client(1), SessionId(5)).empty());
    EXPECT_FALSE(routes_.client_of(2));
}

TEST_F(ReturnRoutesTest, another_clients_session_cannot_be_taken_over) {
    routes_.connected(1, client(1));
    routes_.connected(2, client(2));
    routes_.used(2, client(1), SessionId(5));
    EXPECT_EQ(routes_.links(client(1), SessionId(5)), (Links{1}));
}

TEST_F(ReturnRoutesTest, remembers_a_bounded_number_of_sessions) {
    routes_.connected(1, client(1));
    routes_.connected(2, client(1));
    routes_.used(2, client(1), SessionId(9));
    for (std::uint64_t session = 1; session <= 5; ++session) {
        routes_.used(1, client(1), SessionId(session));
    }
    EXPECT_EQ(routes_.sessions(), 3U);
    EXPECT_EQ(routes_.links(client(1), SessionId(1)), (Links{1, 2})) << "forgotten: all links";
    EXPECT_EQ(routes_.links(client(1), SessionId(5)), (Links{1}));
}

}  // namespace
}  // namespace loyal::replica
