#include "replica/http_server.h"

#include "loop_fixture.h"

namespace loyal::replica {
namespace {

class HttpTest : public test::LoopTest {
 protected:
    void SetUp() override { ASSERT_TRUE(server_.listen("127.0.0.1", 0)); }
    std::string ask(const std::string& request) {
        Socket socket = connect(server_.port());
        write(socket, {request.begin(), request.end()});
        std::string answer;
        EXPECT_TRUE(closed(socket, &answer));
        return answer;
    }
    static std::string get(const std::string& path) {
        return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    }

    HttpServer server_{loop_, [](const std::string& path) {
                           if (path == "/health") {
                               return HttpAnswer{503, "application/json", "{\"status\":\"unhealthy\"}"};
                           }
                           return path == "/metrics" ? HttpAnswer{200, "text/plain", "loyal_view 3\n"}
                                                     : HttpAnswer{404, "text/plain", "nothing here\n"};
                       }};
};

TEST_F(HttpTest, answers_get_with_status_type_and_body) {
    const std::string metrics = ask(get("/metrics"));
    EXPECT_EQ(metrics.rfind("HTTP/1.1 200", 0), 0U) << metrics;
    EXPECT_NE(metrics.find("Content-Type: text/plain"), std::string::npos);
    EXPECT_NE(metrics.find("\r\n\r\nloyal_view 3\n"), std::string::npos);
    EXPECT_EQ(ask(get("/health")).rfind("HTTP/1.1 503", 0), 0U);
    EXPECT_EQ(ask(get("/else")).rfind("HTTP/1.1 404", 0), 0U);
}

TEST_F(HttpTest, a_query_does_not_hide_the_path) {
    EXPECT_EQ(ask(get("/metrics?x=1")).rfind("HTTP/1.1 200", 0), 0U);
}

TEST_F(HttpTest, other_methods_are_not_allowed) {
    EXPECT_EQ(ask("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
                  .rfind("HTTP/1.1 405", 0),
              0U);
}

TEST_F(HttpTest, a_request_that_is_too_large_is_refused) {
    const std::string header = "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: " + std::string(20'000, 'a') + "\r\n\r\n";
    EXPECT_EQ(ask(header).rfind("HTTP/1.1 413", 0), 0U);
    const std::string body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    EXPECT_EQ(ask(body).rfind("HTTP/1.1 413", 0), 0U);
}

TEST_F(HttpTest, garbage_is_refused_and_the_next_request_is_answered) {
    EXPECT_EQ(ask("\x01\x02\x03 nonsense\r\n\r\n").rfind("HTTP/1.1 400", 0), 0U);
    EXPECT_EQ(ask(get("/metrics")).rfind("HTTP/1.1 200", 0), 0U);
}

TEST_F(HttpTest, a_connection_answers_several_requests) {
    Socket socket = connect(server_.port());
    const std::string twice = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" + get("/health");
    write(socket, {twice.begin(), twice.end()});
    std::string answer;
    ASSERT_TRUE(closed(socket, &answer));
    EXPECT_NE(answer.find("HTTP/1.1 200"), std::string::npos);
    EXPECT_NE(answer.find("HTTP/1.1 503"), std::string::npos);
}

TEST_F(HttpTest, a_taken_port_is_a_clear_error) {
    HttpServer second(loop_, [](const std::string&) { return HttpAnswer{}; });
    const auto done = second.listen("127.0.0.1", server_.port());
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::conflict);
    EXPECT_NE(done.error().message.find(std::to_string(server_.port())), std::string::npos);
}

}  // namespace
}  // namespace loyal::replica
